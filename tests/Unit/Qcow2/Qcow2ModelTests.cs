using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>Random requests of several tasks at once against an image and a byte-array twin.</summary>
public sealed class Qcow2ModelTests
{
    private const int Workers = 4;

    [Test]
    public async Task Random_requests_of_several_tasks_read_back_as_in_a_plain_array([Range(1, 10)] int seed)
    {
        var random = new Random(seed);
        StorageNode? dataFile = random.Next(4) == 0 ? new StorageNode() : null;
        BlockdevCreateOptionsQcow2 create = Options(random, dataFile is not null);
        string name = $"seed {seed}, {Describe(create)}";
        long size = (long)create.Size;
        StorageNode? backing = MayHaveBacking(create) && random.Next(2) == 0 ? Backing(random, size) : null;
        byte[] twin = new byte[size];
        if (backing is not null)
        {
            backing.Content.Read(0, twin.AsSpan(0, (int)Math.Min(size, backing.SizeBytes)));
        }

        StorageContent content = await TestImage.CreateAsync(create, dataFile);
        var options = new BlockdevOptionsQcow2
        {
            File = null!,
            L2CacheSize = 1024 * random.Next(1, 9),
            RefcountCacheSize = 1,
            DiscardNoUnref = random.Next(3) == 0,
            PassDiscardRequest = random.Next(3) != 0,
            PassDiscardOther = random.Next(2) == 0,
        };
        for (int round = 0; round < 3; round++)
        {
            var storage = new StorageNode(content, seed);
            Qcow2Node node = await TestImage.OpenAsync(storage, backing, options, dataFile: dataFile);
            var worker = new Worker(node, twin);
            await Task.WhenAll(Enumerable.Range(0, Workers).Select(i => Task.Run(() => worker.RunAsync(new Random((seed * 100) + (round * 10) + i), 120))));
            Assert.That(TestImage.FirstDifference(await TestImage.ReadAllAsync(node), twin), Is.EqualTo(-1), name);
            await node.CloseAsync();

            ImageChecker check = ImageChecker.Check(storage.Bytes);
            Assert.That(check.Corruptions, Is.Empty, name);
            Assert.That(check.Leaks, Is.Zero, name);
            if (create.DataFileRaw == true)
            {
                Assert.That(TestImage.FirstDifference(dataFile!.Bytes, twin), Is.EqualTo(-1), name);
            }

            Qcow2Node again = await TestImage.OpenAsync(new StorageNode(storage.Content), backing, dataFile: dataFile);
            Assert.That(TestImage.FirstDifference(await TestImage.ReadAllAsync(again), twin), Is.EqualTo(-1), name);
            content = storage.Content;
        }
    }

    [Test]
    public async Task Other_sizes_keep_what_they_may_and_show_zeroes_beyond([Range(1, 6)] int seed)
    {
        var random = new Random(seed);
        BlockdevCreateOptionsQcow2 create = Options(random, hasDataFile: false);
        byte[] twin = new byte[(int)create.Size];
        StorageNode? backing = MayHaveBacking(create) && random.Next(2) == 0 ? Backing(random, twin.Length) : null;
        backing?.Content.Read(0, twin.AsSpan(0, (int)Math.Min(twin.Length, backing.SizeBytes)));
        var storage = new StorageNode(await TestImage.CreateAsync(create), seed);
        for (int round = 0; round < 8; round++)
        {
            Qcow2Node node = await TestImage.OpenAsync(storage, backing);
            await new Worker(node, twin).RunAsync(random, 30);
            Array.Resize(ref twin, 512 * random.Next(1, 1 + (2 * (int)create.Size / 512)));
            await node.TruncateAsync(twin.Length);
            Assert.That(TestImage.FirstDifference(await TestImage.ReadAllAsync(node), twin), Is.EqualTo(-1), $"seed {seed}, round {round}");
            await node.CloseAsync();
            ImageChecker check = ImageChecker.Check(storage.Bytes);
            Assert.That(check.Corruptions, Is.Empty, $"seed {seed}, round {round}");
            Assert.That(check.Leaks, Is.Zero, $"seed {seed}, round {round}");
            storage = new StorageNode(storage.Content, seed + round);
        }
    }

    /// <summary>Whether a backing file shows through: clusters made ahead hide it, if there are no subclusters.</summary>
    private static bool MayHaveBacking(BlockdevCreateOptionsQcow2 create) =>
        create.DataFileRaw != true && (create.ExtendedL2 == true || create.Preallocation == PreallocMode.Off);

    private static BlockdevCreateOptionsQcow2 Options(Random random, bool hasDataFile)
    {
        bool extended = random.Next(3) == 0;
        int clusterBytes = extended ? 16384 << random.Next(3) : 512 << random.Next(8);
        PreallocMode preallocation = random.Next(4) == 0 ? PreallocMode.Metadata : random.Next(8) == 0 ? PreallocMode.Full : PreallocMode.Off;
        return new BlockdevCreateOptionsQcow2
        {
            File = null!,
            Size = (ulong)((clusterBytes * (long)random.Next(20, extended ? 60 : 200)) - (random.Next(2) * 512)),
            ClusterSize = (ulong)clusterBytes,
            RefcountBits = 1 << random.Next(7),
            ExtendedL2 = extended,
            Preallocation = preallocation,
            CompressionType = random.Next(2) == 0 ? Qcow2CompressionType.Zlib : Qcow2CompressionType.Zstd,
            DataFileRaw = hasDataFile && random.Next(2) == 0 ? true : null,
        };
    }

    private static string Describe(BlockdevCreateOptionsQcow2 options) =>
        $"cluster {options.ClusterSize}, size {options.Size}, refcount bits {options.RefcountBits}, extended {options.ExtendedL2}, "
        + $"preallocation {options.Preallocation}, raw {options.DataFileRaw}";

    private static StorageNode Backing(Random random, long size)
    {
        byte[] bytes = new byte[random.NextInt64(1, size * 2)];
        random.NextBytes(bytes);
        return new StorageNode(StorageContent.From(bytes), random.Next(), readOnly: true);
    }

    /// <summary>Keeps requests under way from overlapping in bytes, so that the outcome is known; they share clusters freely.</summary>
    private sealed class Worker(Qcow2Node node, byte[] twin)
    {
        private readonly List<(long From, long To)> _busy = [];
        private readonly Lock _gate = new();

        public async Task RunAsync(Random random, int requests)
        {
            for (int i = 0; i < requests; i++)
            {
                long offset = random.NextInt64(twin.Length);
                long length = Math.Min(twin.Length - offset, random.Next(4) == 0 ? random.Next(1, 20 * node.ClusterSizeBytes) : random.Next(1, 2 * node.ClusterSizeBytes));
                if (random.Next(2) == 0)
                {
                    offset &= ~(node.ClusterSizeBytes - 1L);
                }

                length = Math.Min(length, twin.Length - offset);
                (long from, long to) = (offset, offset + length);
                lock (_gate)
                {
                    if (_busy.Exists(b => b.From < to && from < b.To))
                    {
                        continue;
                    }

                    _busy.Add((from, to));
                }

                await RequestAsync(random, random.Next(12), offset, (int)length);
                lock (_gate)
                {
                    _busy.Remove((from, to));
                }
            }
        }

        private async Task RequestAsync(Random random, int kind, long offset, int length)
        {
            switch (kind)
            {
                case < 5:
                    byte[] data = new byte[length];
                    random.NextBytes(data);
                    await node.WriteAsync(offset, data);
                    data.CopyTo(twin, offset);
                    break;
                case 5 or 6:
                    await node.WriteZeroesAsync(offset, length, kind == 5 ? BlockWriteFlags.MayUnmap : BlockWriteFlags.None);
                    twin.AsSpan((int)offset, length).Clear();
                    break;
                case 7:
                    await node.DiscardAsync(offset, length);
                    ClearWholeClusters(offset, length);
                    break;
                case 8 or 9:
                    await WriteCompressedAsync(random, offset, length);
                    break;
                case 10:
                    await node.FlushAsync();
                    break;
                default:
                    byte[] read = new byte[length];
                    await node.ReadAsync(offset, read);
                    Assert.That(TestImage.FirstDifference(read, twin.AsSpan((int)offset, length)), Is.EqualTo(-1));
                    break;
            }
        }

        /// <summary>Whole clusters of the range; where something is stored already, that stays.</summary>
        private async Task WriteCompressedAsync(Random random, long offset, int length)
        {
            (long from, long to) = WholeClusters(offset, length);
            for (long at = from; at < to; at += node.ClusterSizeBytes)
            {
                byte[] data = new byte[Math.Min(node.ClusterSizeBytes, to - at)];
                random.NextBytes(data.AsSpan(0, random.Next(data.Length + 1)));
                try
                {
                    await node.WriteAsync(at, data, BlockWriteFlags.Compressed);
                    data.CopyTo(twin, at);
                }
                catch (BlockIoException e)
                {
                    Assert.That(e.Errno, Is.EqualTo(Errno.EIO).Or.EqualTo(Errno.ENOTSUP));
                }
            }
        }

        private void ClearWholeClusters(long offset, long length)
        {
            (long from, long to) = WholeClusters(offset, length);
            if (to > from)
            {
                twin.AsSpan((int)from, (int)(to - from)).Clear();
            }
        }

        private (long From, long To) WholeClusters(long offset, long length)
        {
            long cluster = node.ClusterSizeBytes;
            long from = (offset + cluster - 1) / cluster * cluster;
            return (from, offset + length == twin.Length ? twin.Length : (offset + length) / cluster * cluster);
        }
    }
}
