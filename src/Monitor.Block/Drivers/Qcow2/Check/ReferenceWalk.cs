using System.Buffers.Binary;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Counts what an image's structures refer to and finds what is wrong with them, as <c>qemu-img check</c> does.</summary>
/// <remarks>
/// Header, active L1 table with its L2 tables, the snapshots' likewise, snapshot table, refcount structures, bitmaps: each cluster that one of
/// them occupies or names gets a reference. What lies outside the file is an error and gets none, so memory follows the file's content.
/// What is beyond the file's end is judged by its length when the walk began. Cost: every L2 table is read once for each L1 table that names it.
/// </remarks>
/// <param name="file">The image's file.</param>
/// <param name="first">Its first cluster.</param>
/// <param name="counts">Gets the references.</param>
/// <param name="findings">Gets what is wrong.</param>
/// <param name="fix">What to repair: kept clusters at impossible places become plain zero clusters in the tables as they are.</param>
internal sealed class ReferenceWalk(ImageFile file, Qcow2HeaderCluster first, ReferenceCounts counts, ImageCheckFindings findings, ImageCheckFix fix)
{
    private const ulong L1Reserved = 0x7F00_0000_0000_01FF;
    private const ulong L2Reserved = 0x3F00_0000_0000_01FE;
    private const ulong RefcountTableReserved = 0x1FF;
    private const ulong BitmapTableReserved = 0xFF00_0000_0000_01FE;

    private readonly Qcow2Header _header = first.Header;
    private readonly ulong _maximum = new RefcountWidth((int)first.Header.RefcountOrder).Maximum;
    private readonly int _clusterBits = (int)first.Header.ClusterBits;
    private readonly L2Layout _layout = L2Layout.For(first.Header);
    private readonly long _fileBytes = file.SizeBytes;
    private readonly (long Offset, long Bytes) _refcountTable =
        ((long)first.Header.RefcountTableOffset, (long)first.Header.RefcountTableClusters << (int)first.Header.ClusterBits);

    private int ClusterBytes => 1 << _clusterBits;

    /// <summary>Counts header, L1 table, snapshot table and bitmaps.</summary>
    /// <param name="tables">The tables in memory.</param>
    public async ValueTask CountFixedAsync(CheckedTables tables)
    {
        Refer(0, ClusterBytes);
        Refer((long)_header.L1Offset, tables.L1.Length * (long)sizeof(ulong));
        Refer((long)_header.SnapshotsOffset, tables.SnapshotTableBytes);
        await CountBitmapsAsync().ConfigureAwait(false);
    }

    /// <summary>Counts the refcount table and those of its blocks that can be used.</summary>
    /// <returns>The usable entries, others zero, and how many are damaged: then all must be written anew.</returns>
    public (ulong[] Usable, int Damaged) CountRefcounts(ulong[] table)
    {
        Refer(_refcountTable.Offset, _refcountTable.Bytes);
        ulong[] usable = new ulong[table.Length];
        int damaged = 0;
        for (int i = 0; i < table.Length; i++)
        {
            long block = (long)(table[i] & ~RefcountTableReserved);
            string? damage = (table[i] & RefcountTableReserved) != 0 ? $"ERROR refcount table entry {i} has reserved bits set"
                : (block & (ClusterBytes - 1)) != 0 ? $"ERROR refcount block {i} is not cluster aligned; refcount table entry corrupted"
                : block < 0 || block >= RoundedFileBytes ? $"ERROR refcount block {i} is outside image"
                : null;
            if (damage is null && block != 0)
            {
                Refer(block, ClusterBytes);
                usable[i] = (ulong)block;
                damage = counts[block >> _clusterBits] != 1 ? $"ERROR refcount block {i} refcount={counts[block >> _clusterBits]}" : null;
            }

            if (damage is not null)
            {
                findings.AddCorruption(damage);
                damaged++;
            }
        }

        return (usable, damaged);
    }

    /// <summary>Bytes of the file, up to whole clusters.</summary>
    private long RoundedFileBytes => (_fileBytes + ClusterBytes - 1) >> _clusterBits << _clusterBits;

    /// <summary>Counts a snapshot's L1 table.</summary>
    /// <returns>The table, as far as the file has it; empty if it cannot be where it is said to be.</returns>
    public async ValueTask<ulong[]> CountSnapshotAsync(Qcow2Snapshot snapshot)
    {
        string name = $"ERROR snapshot {snapshot.Id} ({snapshot.Name})";
        if ((snapshot.L1Offset & ((ulong)ClusterBytes - 1)) != 0)
        {
            findings.AddCorruption($"{name} l1_offset={Qcow2Format.Hex((long)snapshot.L1Offset)}: L1 table is not cluster aligned; snapshot table entry corrupted");
            return [];
        }

        if (snapshot.L1Entries > Qcow2Format.MaximumL1Bytes / sizeof(ulong))
        {
            findings.AddCorruption($"{name} l1_size={Qcow2Format.Hex(snapshot.L1Entries)}: L1 table is too large; snapshot table entry corrupted");
            return [];
        }

        Refer((long)snapshot.L1Offset, snapshot.L1Entries * (long)sizeof(ulong));
        long readable = Math.Min(snapshot.L1Entries, Math.Max(0, (_fileBytes - (long)snapshot.L1Offset + sizeof(ulong) - 1) / sizeof(ulong)));
        return await Qcow2OpenImage.ReadTableAsync(file, snapshot.L1Offset, readable).ConfigureAwait(false);
    }

    /// <summary>Counts an L2 table and what it names.</summary>
    /// <param name="l1Entry">The entry of an L1 table that names it; not empty.</param>
    /// <param name="content">What its place holds.</param>
    /// <param name="isActive">Whether the L1 table is the active one.</param>
    /// <exception cref="BlockIoException">The medium failed in a repair.</exception>
    public async ValueTask CountTableAsync(ulong l1Entry, ReadOnlyMemory<byte> content, bool isActive)
    {
        if ((l1Entry & L1Reserved) != 0)
        {
            findings.AddCorruption($"ERROR found L1 entry with reserved bits set: {l1Entry:x}");
        }

        long place = (long)(l1Entry & Qcow2Format.OffsetMask);
        Refer(place, ClusterBytes);
        if ((place & (ClusterBytes - 1)) != 0)
        {
            findings.AddCorruption($"ERROR l2_offset={place:x}: Table is not cluster aligned; L1 entry corrupted");
        }

        long expected = 0;
        for (int i = 0; i < ClusterBytes >> _layout.EntryBits; i++)
        {
            L2Entry entry = _layout.Read(content.Span, i);
            CheckEntry(entry);
            if (entry.Kind == L2EntryKind.Compressed)
            {
                CountCompressed(entry, isActive);
            }
            else if (entry.Kind is L2EntryKind.Normal or L2EntryKind.ZeroAllocated
                && !await FixPlaceAsync(entry, place + ((long)i << _layout.EntryBits)).ConfigureAwait(false))
            {
                Refer(entry.HostOffset, _layout.HasDataFile ? 0 : ClusterBytes);
                expected = isActive ? CountAllocated(entry, expected) : 0;
            }
        }
    }

    private void CheckEntry(L2Entry entry)
    {
        if (entry.Kind != L2EntryKind.Compressed && (entry.Raw & L2Reserved) != 0)
        {
            findings.AddCorruption($"ERROR found l2 entry with reserved bits set: {entry.Raw:x}");
        }

        if (_layout.IsContradictory(entry))
        {
            findings.AddCorruption($"ERROR found l2 entry with a contradictory subcluster bitmap: {entry.Raw:x} {entry.Bitmap:x}");
        }
    }

    private long CountAllocated(L2Entry entry, long expected)
    {
        findings.AllocatedClusters++;
        findings.FragmentedClusters += expected != 0 && entry.HostOffset != expected ? 1 : 0;
        return entry.HostOffset + ClusterBytes;
    }

    private void CountCompressed(L2Entry entry, bool isActive)
    {
        if (entry.IsCopied)
        {
            findings.AddCorruption(
                $"ERROR: coffset=0x{entry.CompressedRange(_clusterBits).Offset:x}: copied flag must never be set for compressed clusters");
        }

        (long start, int length) = entry.CompressedRange(_clusterBits);
        Refer(start, length);
        if (isActive)
        {
            findings.AllocatedClusters++;
            findings.CompressedClusters++;
            findings.FragmentedClusters++;
        }
    }

    /// <summary>Looks whether an entry's cluster is aligned; one that holds nothing can be given up.</summary>
    /// <returns>Whether it was.</returns>
    private async ValueTask<bool> FixPlaceAsync(L2Entry entry, long place)
    {
        if ((entry.HostOffset & (ClusterBytes - 1)) == 0)
        {
            return false;
        }

        if (entry.Kind == L2EntryKind.Normal)
        {
            findings.AddCorruption($"ERROR offset={entry.HostOffset:x}: Data cluster is not properly aligned; L2 entry corrupted.");
            return false;
        }

        string what = $"offset={entry.HostOffset:x}: Preallocated cluster is not properly aligned; L2 entry corrupted.";
        if (fix != ImageCheckFix.All)
        {
            findings.AddCorruption($"ERROR {what}");
            return false;
        }

        byte[] zero = new byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64BigEndian(zero, L2Entry.Zero.Raw);
        await file.WriteAsync(place, zero, BlkdebugEvent.L2Update).ConfigureAwait(false);
        findings.AddFixed($"Repairing {what}");
        return true;
    }

    private async ValueTask CountBitmapsAsync()
    {
        bool trusted = (_header.Autoclear & Qcow2AutoclearFeatures.Bitmaps) != 0;
        if (!trusted || first.Find(Qcow2BitmapExtension.Magic) is not { } data || !Qcow2BitmapExtension.TryRead(data, out Qcow2BitmapExtension extension))
        {
            return;
        }

        Refer((long)extension.DirectoryOffset, (long)extension.DirectorySize);
        byte[] directory = new byte[Math.Min(extension.DirectorySize, (ulong)Qcow2BitmapDirectory.MaxSize)];
        await file.ReadAsync((long)extension.DirectoryOffset, directory).ConfigureAwait(false);
        ReadOnlyMemory<byte> rest = directory;
        for (uint i = 0; i < extension.Count; i++)
        {
            if (Qcow2BitmapDirectoryEntry.TryRead(rest.Span) is not { } entry)
            {
                findings.AddCorruption("ERROR broken bitmap directory");
                return;
            }

            await CountBitmapAsync(entry).ConfigureAwait(false);
            rest = rest[(int)entry.Size..];
        }
    }

    private async ValueTask CountBitmapAsync(Qcow2BitmapDirectoryEntry bitmap)
    {
        Refer((long)bitmap.TableOffset, bitmap.TableSize * (long)sizeof(ulong));
        long inFile = Math.Clamp((_fileBytes - (long)bitmap.TableOffset) / sizeof(ulong), 0, bitmap.TableSize);
        foreach (ulong entry in await Qcow2OpenImage.ReadTableAsync(file, bitmap.TableOffset, inFile).ConfigureAwait(false))
        {
            long offset = (long)(entry & Qcow2Format.OffsetMask);
            bool sound = (entry & BitmapTableReserved) == 0 && (offset == 0 || ((entry & 1) == 0 && (offset & (ClusterBytes - 1)) == 0));
            if (!sound)
            {
                findings.AddCorruption($"ERROR bitmap table entry with reserved bits set or not aligned: {entry:x}");
            }
            else if (offset != 0)
            {
                Refer(offset, ClusterBytes);
            }
        }
    }

    /// <summary>Gives the clusters of a range a reference each; the last cluster of the file may be there in part.</summary>
    private void Refer(long offset, long bytes)
    {
        if (bytes <= 0)
        {
            return;
        }

        if (offset < 0 || offset > long.MaxValue - bytes || offset + bytes - _fileBytes >= ClusterBytes)
        {
            findings.AddCorruption(
                $"ERROR: counting reference for region exceeding the end of the file by one cluster or more: offset 0x{offset:x} size 0x{bytes:x}");
            return;
        }

        for (long cluster = offset >> _clusterBits; cluster << _clusterBits < offset + bytes; cluster++)
        {
            if (!counts.TryAdd(cluster, _maximum))
            {
                findings.AddCorruption($"ERROR: overflow cluster offset=0x{cluster << _clusterBits:x}");
            }
        }
    }
}
