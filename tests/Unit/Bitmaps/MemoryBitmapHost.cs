using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;

namespace Unit.Bitmaps;

/// <summary>An image in memory whose disk keeps only what was flushed, and that can lose power at any write.</summary>
/// <remarks>
/// Sector 0 stands for the header: byte 0 the autoclear bit, byte 1 whether there is an extension, bytes 8 to 31 the extension. Refcounts
/// are kept beside the bytes and become durable with a flush, as the host promises.
/// </remarks>
internal sealed class MemoryBitmapHost : IQcow2BitmapHost
{
    private const int SectorSize = 512;
    private readonly List<(long Offset, byte[] Bytes)> _unflushed = [];
    private byte[] _bytes;
    private byte[] _durable;
    private HashSet<long> _clusters;
    private HashSet<long> _durableClusters;

    internal MemoryBitmapHost(int clusterSize = 512)
    {
        ClusterSize = clusterSize;
        _bytes = new byte[clusterSize];
        _durable = (byte[])_bytes.Clone();
        _clusters = [0];
        _durableClusters = [0];
    }

    public int Version { get; init; } = 3;

    public bool IsReadOnly { get; set; }

    public int ClusterSize { get; }

    public long VirtualSizeBytes { get; set; } = 64 << 20;

    public long FileLengthBytes => _bytes.Length;

    public Qcow2BitmapExtension? BitmapExtension =>
        _bytes[1] != 0 && Qcow2BitmapExtension.TryRead(_bytes.AsSpan(8), out Qcow2BitmapExtension extension) ? extension : null;

    public bool BitmapsAutoclear => _bytes[0] != 0;

    /// <summary>Writes and flushes still to succeed before all fail; negative: no limit.</summary>
    internal int StepsLeft { get; set; } = -1;

    internal int StepsTaken { get; private set; }

    internal int AllocatedClusters => _clusters.Count - 1;

    public bool OverlapsMetadata(long hostOffset, long length) => hostOffset < ClusterSize;

    public ValueTask<long> AllocateClustersAsync(long count)
    {
        long first = 1;
        while (Enumerable.Range(0, (int)count).Any(i => _clusters.Contains(first + i)))
            first++;
        for (long i = first; i < first + count; i++)
            _clusters.Add(i);
        Grow((first + count) * ClusterSize);
        return new(first * ClusterSize);
    }

    public ValueTask FreeClustersAsync(long hostOffset, long count)
    {
        for (long i = hostOffset / ClusterSize; i < hostOffset / ClusterSize + count; i++)
        {
            if (!_clusters.Remove(i))
                throw new InvalidOperationException($"Cluster {i} is freed twice.");
        }

        return default;
    }

    public ValueTask ReadAsync(long hostOffset, Memory<byte> buffer)
    {
        buffer.Span.Clear();
        int length = (int)Math.Min(buffer.Length, _bytes.Length - hostOffset);
        _bytes.AsSpan((int)hostOffset, length).CopyTo(buffer.Span);
        return default;
    }

    public ValueTask WriteAsync(long hostOffset, ReadOnlyMemory<byte> buffer)
    {
        Step();
        for (long i = hostOffset / ClusterSize; i * ClusterSize < hostOffset + buffer.Length; i++)
        {
            if (!_clusters.Contains(i))
                throw new InvalidOperationException($"Cluster {i} is written but not allocated.");
        }

        Put(_bytes, hostOffset, buffer.Span);
        _unflushed.Add((hostOffset, buffer.ToArray()));
        return default;
    }

    public ValueTask FlushAsync()
    {
        Step();
        _unflushed.Clear();
        _durable = (byte[])_bytes.Clone();
        _durableClusters = [.. _clusters];
        return default;
    }

    public ValueTask WriteBitmapExtensionAsync(Qcow2BitmapExtension? extension)
    {
        byte[] header = _bytes[..SectorSize];
        header[1] = (byte)(extension is null ? 0 : 1);
        extension?.Write(header.AsSpan(8));
        return WriteAsync(0, header);
    }

    public ValueTask SetBitmapsAutoclearAsync(bool value)
    {
        byte[] header = _bytes[..SectorSize];
        header[0] = (byte)(value ? 1 : 0);
        return WriteAsync(0, header);
    }

    /// <summary>What the next boot finds: everything flushed and a random part of the rest, sector by sector.</summary>
    internal MemoryBitmapHost AfterPowerLoss(Random random)
    {
        byte[] bytes = (byte[])_durable.Clone();
        Array.Resize(ref bytes, _bytes.Length);
        foreach ((long offset, byte[] written) in _unflushed)
        {
            for (int i = 0; i < written.Length; i += SectorSize)
            {
                if (random.Next(2) == 0)
                    Put(bytes, offset + i, written.AsSpan(i, Math.Min(SectorSize, written.Length - i)));
            }
        }

        return new MemoryBitmapHost(ClusterSize)
        {
            VirtualSizeBytes = VirtualSizeBytes,
            _bytes = bytes,
            _durable = bytes,
            _clusters = [.. _durableClusters],
            _durableClusters = _durableClusters,
        };
    }

    /// <summary>The same image opened by the next process.</summary>
    internal MemoryBitmapHost Reopened(bool readOnly = false) => new(ClusterSize)
    {
        VirtualSizeBytes = VirtualSizeBytes,
        IsReadOnly = readOnly,
        _bytes = _bytes,
        _durable = _durable,
        _clusters = _clusters,
        _durableClusters = _durableClusters,
    };

    internal void Poke(long offset, byte value) => _bytes[offset] = value;

    internal bool IsAllocated(Qcow2ClusterRun run) =>
        Enumerable.Range(0, (int)run.Count).All(i => _clusters.Contains((run.Offset / ClusterSize) + i));

    private static void Put(byte[] target, long offset, ReadOnlySpan<byte> bytes) => bytes.CopyTo(target.AsSpan((int)offset));

    private void Grow(long length)
    {
        if (length > _bytes.Length)
            Array.Resize(ref _bytes, (int)length);
    }

    private void Step()
    {
        if (StepsLeft == 0)
            throw new BlockIoException(Errno.EIO);
        StepsLeft--;
        StepsTaken++;
    }
}
