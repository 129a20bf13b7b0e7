using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Interop.Qcow2.Model;

/// <summary>Random requests of several tasks on a disk and its twin: none overlaps another in bytes, so that the outcome is known; they share clusters freely.</summary>
internal sealed class Guest(Qcow2Node node, DiskTwin twin)
{
    private readonly List<(long From, long To)> _busy = [];

    /// <summary>Guards the twin's bitmaps and the list of what is under way.</summary>
    public Lock Gate { get; } = new();

    public async Task RunAsync(Random random, int requests)
    {
        for (int i = 0; i < requests; i++)
        {
            (long from, long to) = Choose(random);
            Dictionary<LooseBitmap, int> before;
            lock (Gate)
            {
                if (_busy.Exists(b => b.From < to && from < b.To))
                {
                    continue;
                }

                _busy.Add((from, to));
                before = twin.Bitmaps.Values.ToDictionary(bitmap => bitmap, bitmap => bitmap.Changes);
            }

            List<(long Offset, long Length)> written = await RequestAsync(random, from, (int)(to - from));
            lock (Gate)
            {
                _busy.Remove((from, to));
                written.ForEach(range => Note(range.Offset, range.Length, before));
            }
        }
    }

    /// <summary>Notes a write in the bitmaps. One that was changed meanwhile may have got it from another, in granules of that one.</summary>
    private void Note(long offset, long length, Dictionary<LooseBitmap, int> before)
    {
        foreach (LooseBitmap bitmap in twin.Bitmaps.Values)
        {
            if (!before.TryGetValue(bitmap, out int changes) || changes != bitmap.Changes)
            {
                long from = offset & -Client.CoarsestGranularity;
                bitmap.Set(from, offset + length + Client.CoarsestGranularity - from, isCertain: false);
            }
            else if (bitmap.IsEnabled)
            {
                bitmap.Set(offset, length, isCertain: true);
            }
        }
    }

    private (long From, long To) Choose(Random random)
    {
        long size = twin.Bytes.Length;
        int cluster = node.ClusterSizeBytes;
        long from = random.NextInt64(size);
        from = random.Next(2) == 0 ? from & ~(cluster - 1L) : from;
        long most = Math.Min(1 << 20, random.Next(4) == 0 ? 20L * cluster : 2L * cluster);
        long to = Math.Min(size, from + random.NextInt64(1, most + 1));
        return (from, random.Next(3) == 0 ? Math.Min(size, (to + cluster - 1) & ~(cluster - 1L)) : to);
    }

    private async Task<List<(long Offset, long Length)>> RequestAsync(Random random, long offset, int length)
    {
        switch (random.Next(14))
        {
            case < 5:
                byte[] data = new byte[length];
                random.NextBytes(data);
                await node.WriteAsync(offset, data, random.Next(8) == 0 ? BlockWriteFlags.Fua : BlockWriteFlags.None);
                data.CopyTo(twin.Bytes, offset);
                return [(offset, length)];
            case 5 or 6:
                await node.WriteZeroesAsync(offset, length, random.Next(2) == 0 ? BlockWriteFlags.MayUnmap : BlockWriteFlags.None);
                twin.Bytes.AsSpan((int)offset, length).Clear();
                return [(offset, length)];
            case 7 or 8:
                await node.DiscardAsync(offset, length);
                EmptyWholeClusters(offset, length);
                return [(offset, length)];
            case 9 or 10:
                return await WriteCompressedAsync(random, offset, length);
            case 11:
                await node.FlushAsync();
                return [];
            case 12:
                await CopyUpAsync(offset, length);
                return [];
            default:
                byte[] read = new byte[length];
                await node.ReadAsync(offset, read);
                Assert.That(read.AsSpan().CommonPrefixLength(twin.Bytes.AsSpan((int)offset, length)), Is.EqualTo(length), $"a read at {offset}");
                return [];
        }
    }

    /// <summary>Where the image holds something already, that stays.</summary>
    private async Task<List<(long Offset, long Length)>> WriteCompressedAsync(Random random, long offset, int length)
    {
        var written = new List<(long, long)>();
        (long from, long to) = WholeClusters(offset, length);
        for (long at = from; at < to; at += node.ClusterSizeBytes)
        {
            byte[] data = new byte[Math.Min(node.ClusterSizeBytes, to - at)];
            random.NextBytes(data.AsSpan(0, random.Next(data.Length + 1)));
            try
            {
                await node.WriteAsync(at, data, BlockWriteFlags.Compressed);
                data.CopyTo(twin.Bytes, at);
            }
            catch (BlockIoException e)
            {
                Assert.That(e.Errno, Is.EqualTo(Errno.EIO).Or.EqualTo(Errno.ENOTSUP));
            }

            written.Add((at, data.Length));
        }

        return written;
    }

    /// <summary>Copies up what shows through; what the image holds itself stays.</summary>
    private async Task CopyUpAsync(long offset, int length)
    {
        if (node.Backing is null)
        {
            return;
        }

        byte[] shown = new byte[length];
        if (offset < twin.Below.Length)
        {
            twin.Below.AsSpan((int)offset, (int)Math.Min(length, twin.Below.Length - offset)).CopyTo(shown);
        }

        await node.WriteAsync(offset, shown, BlockWriteFlags.CopyUp | BlockWriteFlags.Unchanged);
    }

    /// <summary>A version 2 image cannot say that a cluster is zero: what is below shows again.</summary>
    private void EmptyWholeClusters(long offset, long length)
    {
        (long from, long to) = WholeClusters(offset, length);
        for (long at = from; at < to; at++)
        {
            twin.Bytes[at] = node.Version == 2 && at < twin.Below.Length ? twin.Below[at] : (byte)0;
        }
    }

    private (long From, long To) WholeClusters(long offset, long length)
    {
        long cluster = node.ClusterSizeBytes;
        long from = (offset + cluster - 1) / cluster * cluster;
        return (from, offset + length == twin.Bytes.Length ? twin.Bytes.Length : (offset + length) / cluster * cluster);
    }
}
