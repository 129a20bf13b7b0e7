using System.Numerics;
using System.Text;
using Monitor.Block.Bitmaps;
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
internal sealed class Qcow2Bitmaps : IBitmapStore
#pragma warning restore CA1001
{
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
    internal ValueTask StoreAsync() => AloneAsync(async () => await DoStoreAsync().ConfigureAwait(false));

    /// <summary>Stores all bitmaps and makes them read-only, because the image is about to become so. The doors are closed.</summary>
    /// <exception cref="BlockIoException">As for <see cref="StoreAsync"/>.</exception>
    internal ValueTask ReopenReadOnlyAsync() => AloneAsync(async () =>
    {
        await DoStoreAsync().ConfigureAwait(false);
        foreach (Qcow2StoredBitmap stored in _stored)
            _bitmaps.SetReadOnly(stored.Bitmap, true);
    });

    /// <summary>
    /// Stores all bitmaps and drops from memory those that were stored, because another process takes the image over. The doors are closed.
    /// </summary>
    /// <exception cref="BlockIoException">As for <see cref="StoreAsync"/>.</exception>
    internal ValueTask InactivateAsync() => AloneAsync(async () =>
    {
        foreach (DirtyBitmap bitmap in await DoStoreAsync().ConfigureAwait(false))
            _bitmaps.Release(bitmap);
        Volatile.Write(ref _stored, []);
    });

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

    private async ValueTask AloneAsync(Func<ValueTask> action)
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
        var found = new List<(Qcow2BitmapDirectoryEntry Entry, Qcow2BitmapTable? Table, HierarchicalBitmap Content)>();
        foreach (Qcow2BitmapDirectoryEntry entry in Qcow2BitmapDirectory.Read(directory, extension.Count, _host))
            found.Add(await LoadBitmapAsync(entry, found.Count > 0 ? found[^1].Content : null).ConfigureAwait(false));
        Volatile.Write(ref _stored, found.ConvertAll(
            item => new Qcow2StoredBitmap(item.Entry, item.Table, InMemory(item.Entry, item.Content))));
        if (!_host.IsReadOnly)
            await MarkInUseAsync().ConfigureAwait(false);
    }

    private async ValueTask<(Qcow2BitmapDirectoryEntry Entry, Qcow2BitmapTable? Table, HierarchicalBitmap Content)> LoadBitmapAsync(
        Qcow2BitmapDirectoryEntry entry, HierarchicalBitmap? like)
    {
        var content = new HierarchicalBitmap(_host.VirtualSizeBytes, 1u << entry.GranularityBits);
        if ((entry.Flags & Qcow2BitmapFlags.InUse) != 0)
            return (entry, await TryReadTableAsync(entry).ConfigureAwait(false), content);
        Qcow2BitmapTable table = await Qcow2BitmapTable.ReadAsync(_host, entry).ConfigureAwait(false);
        await table.LoadAsync(_host, content, like).ConfigureAwait(false);
        content.MarkStored();
        return (entry, table, content);
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
        return _bitmaps.TryFind(name)
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

    private async ValueTask<List<DirtyBitmap>> DoStoreAsync()
    {
        var storing = new List<DirtyBitmap>();
        if (_host.IsReadOnly)
            return storing;
        HashSet<DirtyBitmap> live = [.. _bitmaps.Named()];
        storing.AddRange(live.Where(bitmap => bitmap is { IsPersistent: true, IsStoreSkipped: false, IsInconsistent: false }).Reverse());
        List<Qcow2StoredBitmap> next = _stored.FindAll(stored => live.Contains(stored.Bitmap));
        if (storing.Count == 0 && next.Count == _stored.Count)
            return storing;
        var allocated = new List<Qcow2ClusterRun>();
        try
        {
            await StoreAllAsync(storing, next, allocated).ConfigureAwait(false);
            await SwitchDirectoryAsync(next, allocated).ConfigureAwait(false);
        }
        catch
        {
            storing.ForEach(_bitmaps.PutBackModified);
            await FreeAsync(allocated).ConfigureAwait(false);
            throw;
        }

        return storing;
    }

    /// <summary>Writes what changed and puts its entries into <paramref name="next"/>, in place of their old ones or behind them.</summary>
    private async ValueTask StoreAllAsync(List<DirtyBitmap> storing, List<Qcow2StoredBitmap> next, List<Qcow2ClusterRun> allocated)
    {
        var places = new Dictionary<DirtyBitmap, int>();
        for (int i = 0; i < next.Count; i++)
            places.Add(next[i].Bitmap, i);
        foreach (DirtyBitmap bitmap in storing)
        {
            if (places.TryGetValue(bitmap, out int place))
                next[place] = await StoreBitmapAsync(bitmap, next[place], allocated).ConfigureAwait(false);
            else
                next.Add(await StoreBitmapAsync(bitmap, null, allocated).ConfigureAwait(false));
        }
    }

    private async ValueTask<Qcow2StoredBitmap> StoreBitmapAsync(
        DirtyBitmap bitmap, Qcow2StoredBitmap? before, List<Qcow2ClusterRun> allocated)
    {
        HierarchicalBitmap? content = _bitmaps.TakeModified(bitmap);
        Qcow2BitmapTable? table = content is null ? before?.Table : null;
        table ??= await Qcow2BitmapTable.WriteAsync(_host, content ?? _bitmaps.CopyContent(bitmap), allocated).ConfigureAwait(false);
        var entry = new Qcow2BitmapDirectoryEntry
        {
            TableOffset = (ulong)table.Offset,
            TableSize = (uint)table.Entries.Length,
            Flags = bitmap.IsRecording ? Qcow2BitmapFlags.Auto : Qcow2BitmapFlags.None,
            GranularityBits = (byte)BitOperations.Log2(bitmap.Granularity),
            NameBytes = before?.Entry.NameBytes ?? Encoding.UTF8.GetBytes(bitmap.Name!),
        };
        return new Qcow2StoredBitmap(entry, table, bitmap);
    }

    /// <summary>Makes <paramref name="next"/> the directory on disk, then frees what only the old one used.</summary>
    /// <remarks>From the header's write on <paramref name="allocated"/> is empty: nothing of it may be given back.</remarks>
    private async ValueTask SwitchDirectoryAsync(List<Qcow2StoredBitmap> next, List<Qcow2ClusterRun> allocated)
    {
        Qcow2BitmapExtension? old = _host.BitmapsAutoclear ? _host.BitmapExtension : null;
        if (next.Count > 0)
            await WriteDirectoryAsync(next, allocated).ConfigureAwait(false);
        else
            await RemoveExtensionAsync().ConfigureAwait(false);
        List<Qcow2StoredBitmap> before = _stored;
        Volatile.Write(ref _stored, next);
        var kept = next.Select(stored => stored.Table).ToHashSet();
        foreach (Qcow2StoredBitmap stored in before)
        {
            if (stored.Table is { } table && !kept.Contains(table))
                await FreeAsync(table.Clusters(_host.ClusterSize)).ConfigureAwait(false);
        }

        if (old is { } extension)
            await FreeAsync([new((long)extension.DirectoryOffset, ClustersFor((long)extension.DirectorySize))]).ConfigureAwait(false);
    }

    private async ValueTask WriteDirectoryAsync(List<Qcow2StoredBitmap> next, List<Qcow2ClusterRun> allocated)
    {
        byte[] directory = Qcow2BitmapDirectory.Write(next.ConvertAll(stored => stored.Entry));
        long offset = await Qcow2BitmapTable.AllocateAsync(_host, ClustersFor(directory.Length), allocated).ConfigureAwait(false);
        await _host.FlushAsync().ConfigureAwait(false);
        await _host.WriteAsync(offset, directory).ConfigureAwait(false);
        await _host.FlushAsync().ConfigureAwait(false);
        allocated.Clear();
        var extension = new Qcow2BitmapExtension((uint)next.Count, (ulong)directory.Length, (ulong)offset);
        await _host.WriteBitmapExtensionAsync(extension).ConfigureAwait(false);
        await _host.FlushAsync().ConfigureAwait(false);
        if (_host.BitmapsAutoclear)
            return;
        await _host.SetBitmapsAutoclearAsync(true).ConfigureAwait(false);
        await _host.FlushAsync().ConfigureAwait(false);
    }

    private async ValueTask RemoveExtensionAsync()
    {
        await _host.SetBitmapsAutoclearAsync(false).ConfigureAwait(false);
        await _host.FlushAsync().ConfigureAwait(false);
        await _host.WriteBitmapExtensionAsync(null).ConfigureAwait(false);
        await _host.FlushAsync().ConfigureAwait(false);
    }

    private long ClustersFor(long bytes) => (bytes + _host.ClusterSize - 1) / _host.ClusterSize;

    /// <summary>Gives clusters back; one that cannot be given back is leaked, which no reader minds.</summary>
    private async ValueTask FreeAsync(IEnumerable<Qcow2ClusterRun> runs)
    {
        foreach ((long offset, long count) in runs)
        {
            try
            {
                await _host.FreeClustersAsync(offset, count).ConfigureAwait(false);
            }
            catch (BlockIoException)
            {
                return;
            }
        }
    }
}
