using System.Text;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>The image's first cluster: header, extensions, backing file name; written back sector by sector.</summary>
/// <remarks>
/// <para>The idea: what is there does not move, so that a change is one sector's write, which happens wholly or not at all. A new extension
/// goes behind the others. The backing file's name stays where it is; in images made here a gap before it has room for the bitmaps
/// extension, whose 24 bytes never straddle a sector (an empty extension of an unknown type fills up to the next one where needed).</para>
/// <para>Where a name lies in the way, as behind qemu-img's extensions: first a copy of it is written behind it, then the header points at
/// the copy, then the extension is written over the old one; a flush after each step.</para>
/// </remarks>
internal sealed class Qcow2HeaderCluster
{
    private const int MostPaddings = 2;
    private const int RoomForBitmaps =
        ((MostPaddings + 1) * Qcow2HeaderExtension.PrefixBytes) + Qcow2BitmapExtension.Size;

    /// <summary>What the image holds, without the zeroes behind the last sector in use: mostly one sector of a cluster.</summary>
    private byte[] _stored;

    /// <summary>Makes the first cluster from what was read or built.</summary>
    /// <param name="header">The fixed part.</param>
    /// <param name="extensions">In their order.</param>
    /// <param name="backingFile">The backing file's name, if any.</param>
    /// <param name="stored">What the image holds in its first cluster now; zeroes for a new one.</param>
    public Qcow2HeaderCluster(Qcow2Header header, List<Qcow2HeaderExtension> extensions, string? backingFile, ReadOnlySpan<byte> stored)
    {
        Header = header;
        Extensions = extensions;
        BackingFile = backingFile;
        _stored = UsedSectors(stored);
    }

    /// <summary>The fixed part as it is to be; another object after a write of it has failed.</summary>
    public Qcow2Header Header { get; private set; }

    public List<Qcow2HeaderExtension> Extensions { get; }

    public string? BackingFile { get; set; }

    /// <summary>The backing file's format, if the image says it.</summary>
    public string? BackingFormat => Find(Qcow2HeaderExtension.BackingFormat) is { } data ? Qcow2Format.Text(data) : null;

    /// <summary>The data of the first extension of a type.</summary>
    public byte[]? Find(uint type) => Extensions.Find(e => e.Type == type)?.Data;

    /// <summary>Replaces, adds or (null) removes the extension of a type.</summary>
    public void Set(uint type, byte[]? data)
    {
        int at = Extensions.FindIndex(e => e.Type == type);
        if (data is null)
        {
            Extensions.RemoveAll(e => e.Type == type);
        }
        else if (at >= 0)
        {
            Extensions[at] = new Qcow2HeaderExtension(type, data);
        }
        else
        {
            Extensions.Add(new Qcow2HeaderExtension(type, data));
        }
    }

    /// <summary>The whole cluster as bytes.</summary>
    /// <exception cref="BlockIoException">ENOSPC: it does not fit.</exception>
    public byte[] ToBytes()
    {
        byte[] bytes = new byte[Header.ClusterBytes];
        if (Header.HeaderBytes > Qcow2Header.KnownBytes)
        {
            _stored.AsSpan(0, Math.Min(_stored.Length, (int)Header.HeaderBytes)).CopyTo(bytes);
        }

        int position = WriteExtensions(bytes, (int)Header.HeaderBytes);
        WriteBackingFile(bytes, position);
        Header.Write(bytes);
        return bytes;
    }

    /// <summary>Writes what changed, such that a crash leaves a valid header, the old or the new one; does not sync the last sector.</summary>
    /// <exception cref="BlockIoException">The medium failed, or it does not fit (ENOSPC).</exception>
    public async ValueTask WriteAsync(ImageFile file)
    {
        var old = Qcow2Header.Read(_stored);
        byte[] bytes = ToBytes();
        if (old.BackingFileOffset != 0 && Header.BackingFileOffset >= old.BackingFileOffset + old.BackingFileBytes)
        {
            byte[] step = Stored();
            bytes.AsSpan((int)Header.BackingFileOffset, (int)Header.BackingFileBytes).CopyTo(step.AsSpan((int)Header.BackingFileOffset));
            await WriteSectorsAsync(file, step).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
            (old.BackingFileOffset, old.BackingFileBytes) = (Header.BackingFileOffset, Header.BackingFileBytes);
            old.Write(step);
            await WriteSectorsAsync(file, step).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
        }

        await WriteSectorsAsync(file, bytes).ConfigureAwait(false);
    }

    /// <summary>Writes a header that points at moved tables, durably. If that fails, the fixed part is as before and the old bytes are written back; if
    /// that fails too, nobody knows which tables are the image's, so none is written any more.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask SwitchAsync(ImageFile file)
    {
        byte[] before = Stored();
        bool fits = false;
        try
        {
            _ = ToBytes();
            fits = true;
            await WriteAsync(file).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
        }
        catch (BlockIoException e)
        {
            Header = Qcow2Header.Read(before);
            if (fits)
            {
                await WriteBackAsync(file, before, e.Errno).ConfigureAwait(false);
            }

            throw;
        }
    }

    private async ValueTask WriteBackAsync(ImageFile file, byte[] before, int errno)
    {
        try
        {
            file.ThrowIfFailed();
            await file.WriteAsync(0, before).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
            _stored = UsedSectors(before);
        }
        catch (BlockIoException)
        {
            file.Fail(errno);
        }
    }

    /// <summary>Writes the sectors that differ; the first of them last, because readers reach the others from it.</summary>
    private async ValueTask WriteSectorsAsync(ImageFile file, byte[] bytes)
    {
        byte[] stored = Stored();
        int first = bytes.AsSpan().CommonPrefixLength(stored) / Qcow2Format.SectorBytes * Qcow2Format.SectorBytes;
        bool mustFlush = false;
        for (int at = bytes.Length - Qcow2Format.SectorBytes; at >= first; at -= Qcow2Format.SectorBytes)
        {
            Memory<byte> sector = bytes.AsMemory(at, Qcow2Format.SectorBytes);
            if (sector.Span.SequenceEqual(stored.AsSpan(at, Qcow2Format.SectorBytes)))
            {
                continue;
            }

            if (at == first && mustFlush)
            {
                await file.FlushAsync().ConfigureAwait(false);
            }

            await file.WriteAsync(at, sector).ConfigureAwait(false);
            sector.CopyTo(stored.AsMemory(at));
            _stored = UsedSectors(stored);
            mustFlush = true;
        }
    }

    /// <summary>The whole cluster as the image holds it.</summary>
    private byte[] Stored()
    {
        byte[] whole = new byte[Header.ClusterBytes];
        _stored.CopyTo(whole, 0);
        return whole;
    }

    private static byte[] UsedSectors(ReadOnlySpan<byte> cluster)
    {
        int used = cluster.LastIndexOfAnyExcept((byte)0) + 1;
        return cluster[..Math.Max(Qcow2Format.SectorBytes, (used + Qcow2Format.SectorBytes - 1) & -Qcow2Format.SectorBytes)].ToArray();
    }

    private int WriteExtensions(byte[] bytes, int position)
    {
        foreach (Qcow2HeaderExtension extension in Extensions)
        {
            while (extension.Type == Qcow2BitmapExtension.Magic && !FitsSector(position))
            {
                position = WriteExtension(bytes, position, new Qcow2HeaderExtension(Qcow2HeaderExtension.Padding, []));
            }

            position = WriteExtension(bytes, position, extension);
        }

        return position + Qcow2HeaderExtension.PrefixBytes;
    }

    private int WriteExtension(byte[] bytes, int position, Qcow2HeaderExtension extension)
    {
        CheckFits(position + extension.TotalBytes + Qcow2HeaderExtension.PrefixBytes);
        extension.Write(bytes.AsSpan(position));
        return position + extension.TotalBytes;
    }

    private void WriteBackingFile(byte[] bytes, int extensionsEnd)
    {
        if (BackingFile is null)
        {
            (Header.BackingFileOffset, Header.BackingFileBytes) = (0, 0);
            return;
        }

        byte[] name = Encoding.UTF8.GetBytes(BackingFile);
        int position = PlaceBackingFile(extensionsEnd, name.Length);
        CheckFits(position + name.Length);
        name.CopyTo(bytes, position);
        (Header.BackingFileOffset, Header.BackingFileBytes) = ((ulong)position, (uint)name.Length);
    }

    private int PlaceBackingFile(int extensionsEnd, int nameBytes)
    {
        int now = (int)Header.BackingFileOffset;
        if (now >= extensionsEnd)
        {
            return now;
        }

        int wanted = now == 0 ? extensionsEnd + RoomForBitmaps : Math.Max(extensionsEnd, now + (int)Header.BackingFileBytes);
        return wanted + nameBytes <= Header.ClusterBytes ? wanted : extensionsEnd;
    }

    private static bool FitsSector(int position)
    {
        int data = position + Qcow2HeaderExtension.PrefixBytes;
        return data / Qcow2Format.SectorBytes == (data + Qcow2BitmapExtension.Size - 1) / Qcow2Format.SectorBytes;
    }

    private void CheckFits(int bytes)
    {
        if (bytes > Header.ClusterBytes)
        {
            throw new BlockIoException(Errno.ENOSPC);
        }
    }
}
