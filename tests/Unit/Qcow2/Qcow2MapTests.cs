using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;
using Unit.Drivers;

namespace Unit.Qcow2;

/// <summary>What readers are told of chains of images: many runs in one go as run by run, and what both must be.</summary>
public sealed class Qcow2MapTests
{
    private const int Cluster = 512;
    private const long Size = (1 << 20) + 512;

    [TestCase(1, false)]
    [TestCase(2, false)]
    [TestCase(3, false)]
    [TestCase(4, true)]
    public async Task Many_runs_at_once_tell_of_a_chain_what_run_by_run_tells(int seed, bool isExtended)
    {
        var random = new Random(seed);
        Qcow2Node bottom = await MakeAsync(random, Size - (20 * Cluster), null, isExtended);
        Qcow2Node middle = await MakeAsync(random, Size + (20 * Cluster), bottom, isExtended: false);
        Qcow2Node top = await MakeAsync(random, Size, middle, isExtended);
        for (int i = 0; i < 60; i++)
        {
            long offset = i == 0 ? 0 : random.NextInt64(Size - 1);
            long length = i == 0 ? Size : random.NextInt64(1, Size - offset + 1);
            int room = random.Next(4) switch { 0 => 1, 1 => 2, 2 => random.Next(3, 40), _ => 5000 };
            string range = $"seed {seed}, room {room}, {length} bytes at {offset}";
            string each = await StatusMap.OfEachAsync((at, rest) => BlockStatusWalk.StatusAsync(top, at, rest), offset, length);
            string many = await StatusMap.OfManyAsync(
                (at, rest, runs) => BlockStatusWalk.StatusAsync(top, at, rest, runs), offset, length, room, range);
            Assert.That(many, Is.EqualTo(each), range);
        }
    }

    [Test]
    public async Task One_answer_tells_all_that_is_in_memory_and_no_more_than_was_asked()
    {
        Qcow2Node node = await MakeEmptyAsync(Size, null, isExtended: false);
        for (int i = 0; i < 100; i += 2)
        {
            await node.WriteAsync(i * Cluster, new byte[] { 1 });
        }

        var runs = new BlockStatus[500];
        Assert.That(await node.DescribeAsync(100, (50 * Cluster) + 7, runs), Is.EqualTo(51));
        Assert.Multiple(() =>
        {
            Assert.That(runs[0], Is.EqualTo(BlockStatus.Of(BlockMappingKind.Data, Cluster - 100)));
            Assert.That(runs[1], Is.EqualTo(BlockStatus.Of(BlockMappingKind.Backing, Cluster)));
            Assert.That(runs[50], Is.EqualTo(BlockStatus.Of(BlockMappingKind.Data, 107)));
        });
        Assert.That(await node.DescribeAsync(0, Size, runs.AsMemory(0, 3)), Is.EqualTo(3));
        Assert.That(await node.DescribeAsync(0, 1, runs), Is.EqualTo(1));
        Assert.That(await node.DescribeAsync(Size - 1, 1, runs), Is.EqualTo(1));
    }

    private static async Task<Qcow2Node> MakeEmptyAsync(long size, Qcow2Node? backing, bool isExtended) => await TestImage.OpenAsync(
        new StorageNode(await TestImage.CreateAsync(new BlockdevCreateOptionsQcow2
        {
            File = null!,
            Size = (ulong)size,
            ClusterSize = isExtended ? 16384UL : Cluster,
            ExtendedL2 = isExtended,
        })),
        backing);

    /// <summary>An image of data, zeroes and nothing in random places.</summary>
    private static async Task<Qcow2Node> MakeAsync(Random random, long size, Qcow2Node? backing, bool isExtended)
    {
        Qcow2Node node = await MakeEmptyAsync(size, backing, isExtended);
        byte[] data = new byte[8 * Cluster];
        random.NextBytes(data);
        for (int i = 0; i < 150; i++)
        {
            int length = random.Next(1, data.Length);
            long offset = random.NextInt64(node.SizeBytes - data.Length);
            switch (random.Next(4))
            {
                case 0:
                    await node.WriteZeroesAsync(offset, length, random.Next(2) == 0 ? BlockWriteFlags.MayUnmap : BlockWriteFlags.None);
                    break;
                case 1:
                    await node.DiscardAsync(offset, length);
                    break;
                default:
                    await node.WriteAsync(offset, data.AsMemory(0, length));
                    break;
            }
        }

        return node;
    }
}
