using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>What the stored bitmaps need of the image.</summary>
public sealed partial class Qcow2Node : IQcow2BitmapHost
{
    int IQcow2BitmapHost.ClusterSize => ClusterSizeBytes;

    long IQcow2BitmapHost.VirtualSizeBytes => SizeBytes;

    long IQcow2BitmapHost.FileLengthBytes => _image.File.SizeBytes;

    Qcow2BitmapExtension? IQcow2BitmapHost.BitmapExtension =>
        _image.Header.Find(Qcow2BitmapExtension.Magic) is { } data && Qcow2BitmapExtension.TryRead(data, out Qcow2BitmapExtension extension)
            ? extension
            : null;

    bool IQcow2BitmapHost.BitmapsAutoclear => (Header.Autoclear & Qcow2AutoclearFeatures.Bitmaps) != 0;

    bool IQcow2BitmapHost.OverlapsMetadata(long hostOffset, long length) => _image.Clusters.FindOverlap(hostOffset, length) is not null;

    async ValueTask<long> IQcow2BitmapHost.AllocateClustersAsync(long count)
    {
        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            _image.ThrowIfCorrupt();
            await _image.ReclaimAsync().ConfigureAwait(false);
            return (await _image.Refcounts.AllocateContiguousAsync(count).ConfigureAwait(false)).First << _clusterBits;
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    async ValueTask IQcow2BitmapHost.FreeClustersAsync(long hostOffset, long count)
    {
        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            _image.ThrowIfCorrupt();
            await _image.FreeAsync(new ClusterRun(hostOffset >> _clusterBits, count), Qcow2Discard.Other).ConfigureAwait(false);
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    ValueTask IQcow2BitmapHost.ReadAsync(long hostOffset, Memory<byte> buffer) => _image.File.ReadAsync(hostOffset, buffer);

    ValueTask IQcow2BitmapHost.WriteAsync(long hostOffset, ReadOnlyMemory<byte> buffer) => _image.File.WriteAsync(hostOffset, buffer);

    async ValueTask IQcow2BitmapHost.FlushAsync()
    {
        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            await _image.FlushAsync().ConfigureAwait(false);
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    ValueTask IQcow2BitmapHost.WriteBitmapExtensionAsync(Qcow2BitmapExtension? extension)
    {
        byte[]? data = null;
        if (extension is { } present)
        {
            data = new byte[Qcow2BitmapExtension.Size];
            present.Write(data);
        }

        _image.Header.Set(Qcow2BitmapExtension.Magic, data);
        _image.NoteBitmapDirectory();
        return WriteHeaderAsync();
    }

    ValueTask IQcow2BitmapHost.SetBitmapsAutoclearAsync(bool value)
    {
        Header.Autoclear = value ? Header.Autoclear | Qcow2AutoclearFeatures.Bitmaps : Header.Autoclear & ~Qcow2AutoclearFeatures.Bitmaps;
        return WriteHeaderAsync();
    }

    private async ValueTask LoadBitmapsAsync()
    {
        if (!ShowsSnapshot && IsActive)
        {
            await _storedBitmaps.LoadAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask StoreBitmapsAsync()
    {
        try
        {
            await _storedBitmaps.StoreAsync().ConfigureAwait(false);
        }
        catch (BlockIoException e)
        {
            DaemonLog.Error("Block", $"node {NodeName}: the persistent bitmaps could not be stored and stay marked in use: {e.Message}");
        }
    }

    /// <summary>The bitmaps as the image has them now; null if it has none.</summary>
    private List<Qcow2BitmapInfo>? DescribeBitmaps()
    {
        var bitmaps = new List<Qcow2BitmapInfo>();
        foreach ((string name, uint granularity, Qcow2BitmapFlags flags) in _storedBitmaps.Entries)
        {
            var words = new List<Qcow2BitmapInfoFlags>();
            if ((flags & Qcow2BitmapFlags.InUse) != 0)
            {
                words.Add(Qcow2BitmapInfoFlags.InUse);
            }

            if ((flags & Qcow2BitmapFlags.Auto) != 0)
            {
                words.Add(Qcow2BitmapInfoFlags.Auto);
            }

            bitmaps.Add(new Qcow2BitmapInfo { Name = name, Granularity = granularity, Flags = words });
        }

        return bitmaps.Count == 0 ? null : bitmaps;
    }

    private async ValueTask WriteHeaderAsync()
    {
        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            await _image.Header.WriteAsync(_image.File).ConfigureAwait(false);
        }
        finally
        {
            _image.Lock.Release();
        }
    }
}
