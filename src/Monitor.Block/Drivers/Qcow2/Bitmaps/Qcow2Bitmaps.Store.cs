using System.Numerics;
using System.Text;
using Monitor.Block.Bitmaps;

namespace Monitor.Block.Drivers.Qcow2;

/// <content>How the bitmaps get into the image.</content>
internal sealed partial class Qcow2Bitmaps
{
    private async ValueTask DoStoreAsync()
    {
        if (_host.IsReadOnly)
            return;
        HashSet<DirtyBitmap> live = [.. _bitmaps.Named()];
        List<DirtyBitmap> storing =
            [.. live.Where(bitmap => bitmap is { IsPersistent: true, IsStoreSkipped: false, IsInconsistent: false })];
        List<Qcow2StoredBitmap> next = _stored.FindAll(stored => live.Contains(stored.Bitmap));
        if (storing.Count == 0 && next.Count == _stored.Count)
            return;
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
    }

    /// <summary>Writes what changed and puts its entries into <paramref name="next"/>, in place of their old ones or behind them.</summary>
    private async ValueTask StoreAllAsync(List<DirtyBitmap> storing, List<Qcow2StoredBitmap> next, List<Qcow2ClusterRun> allocated)
    {
        var places = new Dictionary<DirtyBitmap, int>();
        for (int i = 0; i < next.Count; i++)
            places.Add(next[i].Bitmap, i);
        var stored = new Qcow2StoredBitmap[storing.Count];
        long bytes = storing.Sum(bitmap => Qcow2BitmapDirectory.DataBytes(_host, bitmap.Granularity));
        await ShareOutAsync(storing.Count, bytes, async take =>
        {
            for (int i = take(); i < storing.Count; i = take())
            {
                Qcow2StoredBitmap? before = places.TryGetValue(storing[i], out int place) ? next[place] : null;
                stored[i] = await StoreBitmapAsync(storing[i], before, allocated).ConfigureAwait(false);
            }
        }).ConfigureAwait(false);
        foreach (Qcow2StoredBitmap one in stored)
        {
            if (places.TryGetValue(one.Bitmap, out int place))
                next[place] = one;
            else
                next.Add(one);
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
