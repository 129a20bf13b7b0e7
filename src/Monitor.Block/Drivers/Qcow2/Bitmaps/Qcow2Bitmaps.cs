using System.Text;
using Monitor.Block.Bitmaps;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>The persistent bitmaps of one qcow2 image: loaded at open, stored when the image is left, removed on demand.</summary>
/// <remarks>
/// <para>
/// The idea: while the image is open for writing, every entry of its directory carries <c>in_use</c>, so after a crash each bitmap says of
/// itself that it means nothing. Leaving the image writes what changed to new clusters, a new directory without <c>in_use</c>, and switches
/// to it by the one sector of the header extension: a crash leaves the old directory or the new one.
/// </para>
/// <para>
/// The order of a switch: bitmap data, tables, refcounts, flush, new directory, flush, extension, flush, then the old clusters are freed.
/// The first flush also syncs the guest data that the bitmaps describe. The autoclear bit stays set throughout; with the first bitmap it
/// follows the extension, with the last one gone it precedes it, a flush between.
/// </para>
/// <para>Cost: a bitmap that did not change keeps its clusters; of a changed one, stretches all zero or all one take none.</para>
/// </remarks>
#pragma warning disable CA1001 // a gate that nobody waits for holds nothing to dispose of
internal sealed partial class Qcow2Bitmaps : IBitmapStore
#pragma warning restore CA1001
{
    private const long BytesWorthSharing = 4 << 20;
    private const int MaxWorkers = 4;
    private readonly IQcow2BitmapHost _host;
    private readonly NodeBitmaps _bitmaps;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private List<Qcow2StoredBitmap> _stored = [];

    /// <summary>Makes the keeper of an image whose bitmaps are not loaded yet.</summary>
    /// <param name="host">The image.</param>
    /// <param name="bitmaps">The node's bitmaps.</param>
    internal Qcow2Bitmaps(IQcow2BitmapHost host, NodeBitmaps bitmaps)
    {
        _host = host;
        _bitmaps = bitmaps;
    }

    /// <summary>What the directory holds, in its order: name, granularity in bytes, flags (QAPI <c>Qcow2BitmapInfo</c>).</summary>
    internal IReadOnlyList<(string Name, uint Granularity, Qcow2BitmapFlags Flags)> Entries =>
        Volatile.Read(ref _stored).ConvertAll(stored => (NameOf(stored), 1u << stored.Entry.GranularityBits, stored.Entry.Flags));

    /// <inheritdoc/>
    public string? WhyNotStorable(string name, uint granularity)
    {
        if (_host.Version < 3)
            return "Cannot store dirty bitmaps in qcow2 v2 files";
        if (_host.IsReadOnly)
            return "Image is read-only";
        int nameBytes = Encoding.UTF8.GetByteCount(name);
        if (nameBytes > NodeBitmaps.MaxNameBytes)
            return $"Name length exceeds maximum ({NodeBitmaps.MaxNameBytes} characters)";
        if (Qcow2BitmapDirectory.DataBytes(_host, granularity) > Qcow2BitmapDirectory.MaxBitmapDataBytes)
            return "Too much space will be occupied by the bitmap. Use larger granularity";
        int count = _bitmaps.CountPersistent();
        if (count >= Qcow2BitmapDirectory.MaxBitmaps)
            return "Maximum number of persistent bitmaps is already reached";
        return IsDirectoryFull(count, nameBytes) ? "Not enough space in the bitmap directory" : null;
    }

    /// <summary>Refuses a change of the image's size that one of its bitmaps could not follow.</summary>
    /// <exception cref="QmpException">One is busy, read-only or inconsistent.</exception>
    internal void CheckResizable()
    {
        foreach (Qcow2StoredBitmap stored in Volatile.Read(ref _stored))
            stored.Bitmap.CheckUsable(BitmapUse.Modify);
    }

    /// <summary>Loads what the image holds, except names already in memory; on a writable image then marks all in use on disk.</summary>
    /// <remarks>At open and at every activation, before the first guest write; the host has read its header anew.</remarks>
    /// <exception cref="QmpException">The directory, a table or the extension is broken.</exception>
    /// <exception cref="BlockIoException">The image cannot be read or written.</exception>
    internal ValueTask LoadAsync() => AloneAsync(DoLoadAsync);

    /// <summary>The image became writable: marks all in use on disk, then lets the bitmaps change.</summary>
    /// <exception cref="BlockIoException">The image cannot be written; the bitmaps stay read-only.</exception>
    internal ValueTask ReopenWritableAsync() => AloneAsync(async () =>
    {
        await MarkInUseAsync().ConfigureAwait(false);
        foreach (Qcow2StoredBitmap stored in _stored)
            _bitmaps.SetReadOnly(stored.Bitmap, false);
    });

    /// <summary>Stores all bitmaps because the image is being closed. The doors are closed.</summary>
    /// <exception cref="BlockIoException">The image cannot be written; the entries stay in use and the bitmaps in memory.</exception>
    internal ValueTask StoreAsync() => AloneAsync(DoStoreAsync);

    /// <summary>Stores all bitmaps and makes them read-only, because the image is about to become so. The doors are closed.</summary>
    /// <exception cref="BlockIoException">As for <see cref="StoreAsync"/>.</exception>
    internal ValueTask ReopenReadOnlyAsync() => AloneAsync(async () =>
    {
        // First: what is being stored must not be changed by a command.
        SetReadOnly(true);
        try
        {
            await DoStoreAsync().ConfigureAwait(false);
        }
        catch
        {
            SetReadOnly(false);
            throw;
        }
    });

    /// <summary>
    /// Drops from memory what <see cref="ReopenReadOnlyAsync"/> stored, because another process takes the image over. The doors are closed.
    /// A bitmap that was not stored, for it is to travel by migration, stays and records.
    /// </summary>
    internal void Forget()
    {
        foreach (Qcow2StoredBitmap stored in _stored)
        {
            if (stored.Bitmap.IsStoreSkipped)
                _bitmaps.SetReadOnly(stored.Bitmap, false);
            else
                _bitmaps.Release(stored.Bitmap);
        }

        Volatile.Write(ref _stored, []);
    }

    /// <inheritdoc/>
    public ValueTask RemoveGoneAsync() => AloneAsync(async () =>
    {
        HashSet<DirtyBitmap> live = [.. _bitmaps.Named()];
        List<Qcow2StoredBitmap> kept = _stored.FindAll(stored => live.Contains(stored.Bitmap));
        if (kept.Count < _stored.Count)
            await SwitchDirectoryAsync(kept, []).ConfigureAwait(false);
    });

    /// <summary>Whether one more name does not fit: a question only where so many names of the longest sort would not.</summary>
    private bool IsDirectoryFull(int count, int nameBytes)
    {
        if ((count + 1) * Qcow2BitmapDirectoryEntry.SizeOf(NodeBitmaps.MaxNameBytes) <= Qcow2BitmapDirectory.MaxSize)
            return false;
        long directory = Qcow2BitmapDirectoryEntry.SizeOf(nameBytes);
        foreach (DirtyBitmap bitmap in _bitmaps.Named())
            directory += bitmap.IsPersistent ? Qcow2BitmapDirectoryEntry.SizeOf(Encoding.UTF8.GetByteCount(bitmap.Name!)) : 0;
        return directory > Qcow2BitmapDirectory.MaxSize;
    }

    private static string NameOf(Qcow2StoredBitmap stored) => Qcow2BitmapDirectory.NameOf(stored.Entry);

    /// <summary>Lets several threads do items of a list, each the next one, where so much is to be moved that it pays.</summary>
    /// <param name="count">Of items.</param>
    /// <param name="dataBytes">What is to be moved in all.</param>
    /// <param name="worker">Does items by the numbers it gets, until one is not below the count.</param>
    private static async ValueTask ShareOutAsync(int count, long dataBytes, Func<Func<int>, ValueTask> worker)
    {
        int taken = 0;
        int Next() => Interlocked.Increment(ref taken) - 1;
        int workers = dataBytes < BytesWorthSharing ? 1 : Math.Min(Math.Min(count, Environment.ProcessorCount), MaxWorkers);
        var others = new List<Task>();
        while (others.Count < workers - 1)
            others.Add(BlockThreads.RunAsync(() => worker(Next)));
        try
        {
            await worker(Next).ConfigureAwait(false);
        }
        finally
        {
            await Task.WhenAll(others).ConfigureAwait(false);
        }
    }

    private void SetReadOnly(bool readOnly)
    {
        foreach (DirtyBitmap bitmap in _bitmaps.Named())
        {
            if (bitmap.IsPersistent)
                _bitmaps.SetReadOnly(bitmap, readOnly);
        }
    }

    /// <summary>Does something while nobody stores, loads or removes bitmaps.</summary>
    internal async ValueTask AloneAsync(Func<ValueTask> action)
    {
        await _gate.WaitAsync().ConfigureAwait(false);
        try
        {
            await action().ConfigureAwait(false);
        }
        finally
        {
            _gate.Release();
        }
    }

    private async ValueTask DoLoadAsync()
    {
        if (_host.BitmapExtension is not { } extension)
            return;
        if (!_host.BitmapsAutoclear)
        {
            DaemonLog.Warn("Block", "a program lacking bitmap support modified this file, so all bitmaps are now considered inconsistent");
            return;
        }

        Qcow2BitmapDirectory.CheckExtension(extension, _host);
        byte[] directory = new byte[extension.DirectorySize];
        await _host.ReadAsync((long)extension.DirectoryOffset, directory).ConfigureAwait(false);
        List<Qcow2BitmapDirectoryEntry> entries = Qcow2BitmapDirectory.Read(directory, extension.Count, _host);
        (Qcow2BitmapTable? Table, HierarchicalBitmap Content)[] found = await LoadAllAsync(entries).ConfigureAwait(false);
        var stored = new List<Qcow2StoredBitmap>(entries.Count);
        for (int i = 0; i < entries.Count; i++)
            stored.Add(new Qcow2StoredBitmap(entries[i], found[i].Table, InMemory(entries[i], found[i].Content)));
        Volatile.Write(ref _stored, stored);
        if (!_host.IsReadOnly)
            await MarkInUseAsync().ConfigureAwait(false);
    }

    private async ValueTask<(Qcow2BitmapTable? Table, HierarchicalBitmap Content)[]> LoadAllAsync(List<Qcow2BitmapDirectoryEntry> entries)
    {
        var found = new (Qcow2BitmapTable? Table, HierarchicalBitmap Content)[entries.Count];
        long bytes = entries.Sum(entry => (long)entry.TableSize * _host.ClusterSize);
        await ShareOutAsync(entries.Count, bytes, async next =>
        {
            HierarchicalBitmap? last = null;
            for (int i = next(); i < entries.Count; i = next())
            {
                found[i] = await LoadBitmapAsync(entries[i], last).ConfigureAwait(false);
                last = found[i].Content;
            }
        }).ConfigureAwait(false);
        return found;
    }

    private async ValueTask<(Qcow2BitmapTable? Table, HierarchicalBitmap Content)> LoadBitmapAsync(
        Qcow2BitmapDirectoryEntry entry, HierarchicalBitmap? like)
    {
        var content = new HierarchicalBitmap(_host.VirtualSizeBytes, 1u << entry.GranularityBits);
        if ((entry.Flags & Qcow2BitmapFlags.InUse) != 0)
            return (await TryReadTableAsync(entry).ConfigureAwait(false), content);
        Qcow2BitmapTable table = await Qcow2BitmapTable.ReadAsync(_host, entry).ConfigureAwait(false);
        await table.LoadAsync(_host, content, like).ConfigureAwait(false);
        content.MarkStored();
        return (table, content);
    }

    private async ValueTask<Qcow2BitmapTable?> TryReadTableAsync(Qcow2BitmapDirectoryEntry entry)
    {
        try
        {
            return await Qcow2BitmapTable.ReadAsync(_host, entry).ConfigureAwait(false);
        }
        catch (QmpException)
        {
            return null;
        }
    }

    private DirtyBitmap InMemory(Qcow2BitmapDirectoryEntry entry, HierarchicalBitmap content)
    {
        string name = Qcow2BitmapDirectory.NameOf(entry);
        bool inconsistent = (entry.Flags & Qcow2BitmapFlags.InUse) != 0;
        DirtyBitmap? kept = _bitmaps.TryFind(name);
        if (kept is not null && !inconsistent)
            throw new QmpException($"Bitmap already exists: {name}");
        return kept
            ?? _bitmaps.AddStored(name, content, (entry.Flags & Qcow2BitmapFlags.Auto) != 0, _host.IsReadOnly, inconsistent);
    }

    /// <summary>
    /// Sets <c>in_use</c> in place: the guest wrote nothing yet, so an entry that a torn write leaves without it is still exact.
    /// </summary>
    private async ValueTask MarkInUseAsync()
    {
        if (_stored.TrueForAll(stored => (stored.Entry.Flags & Qcow2BitmapFlags.InUse) != 0))
            return;
        List<Qcow2StoredBitmap> marked = _stored.ConvertAll(
            stored => stored with { Entry = stored.Entry with { Flags = stored.Entry.Flags | Qcow2BitmapFlags.InUse } });
        byte[] directory = Qcow2BitmapDirectory.Write(marked.ConvertAll(stored => stored.Entry));
        await _host.WriteAsync((long)_host.BitmapExtension!.Value.DirectoryOffset, directory).ConfigureAwait(false);
        await _host.FlushAsync().ConfigureAwait(false);
        Volatile.Write(ref _stored, marked);
    }
}
