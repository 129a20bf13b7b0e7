using Monitor.Block;
using Monitor.Block.Io;
using NUnit.Framework;

namespace Unit.Drivers;

/// <summary>What every driver that keeps bytes promises, checked against a plain array of bytes.</summary>
/// <remarks>A driver's tests derive from this and say how to make a node, opened, of <see cref="SizeBytes"/> zero bytes.</remarks>
public abstract class DriverContract
{
    protected const int SizeBytes = 1 << 20;

    private const int Operations = 600;

    protected static BlockNodeSettings Settings(string name = "n") => new() { NodeName = name, DiscardUnmap = true };

    protected abstract ValueTask<BlockNode> OpenAsync();

    [Test]
    public async Task A_new_node_reads_as_zeroes([Values(0, 1, 511, SizeBytes - 100)] int offset)
    {
        BlockNode node = await OpenAsync();
        byte[] buffer = Filled(100, 0xee);

        await node.ReadAsync(offset, buffer);

        Assert.That(buffer, Is.All.Zero);
        await node.CloseAsync();
    }

    [Test]
    public async Task What_was_written_is_read_back_and_nothing_else_changes()
    {
        BlockNode node = await OpenAsync();
        await node.WriteAsync(5000, Filled(300, 0x5a));
        byte[] buffer = Filled(500, 0xee);

        await node.ReadAsync(4900, buffer);

        Assert.Multiple(() =>
        {
            Assert.That(buffer[..100], Is.All.Zero);
            Assert.That(buffer[100..400], Is.All.EqualTo(0x5a));
            Assert.That(buffer[400..], Is.All.Zero);
        });
        await node.CloseAsync();
    }

    [Test]
    public async Task Runs_of_a_map_cover_the_node_and_zero_runs_read_as_zeroes()
    {
        BlockNode node = await OpenAsync();
        await node.WriteAsync(SizeBytes / 2, Filled(70_000, 1));
        long covered = 0;
        while (covered < SizeBytes)
        {
            BlockMapping run = await node.MapAsync(covered, SizeBytes - covered);
            Assert.That(run.Length, Is.InRange(1, SizeBytes - covered));
            if (run.Kind == BlockMappingKind.Zero)
            {
                byte[] content = Filled((int)run.Length, 0xee);
                await node.ReadAsync(covered, content);
                Assert.That(content, Is.All.Zero, $"at {covered}");
            }

            covered += run.Length;
        }

        Assert.That((await node.MapAsync(SizeBytes / 2, 70_000)).Kind, Is.Not.EqualTo(BlockMappingKind.Zero));
        await node.CloseAsync();
    }

    [Test]
    public async Task Random_operations_give_what_an_array_of_bytes_gives([Values(1, 2, 3)] int seed)
    {
        BlockNode node = await OpenAsync();
        byte[] twin = new byte[SizeBytes];
        var random = new Random(seed);
        for (int i = 0; i < Operations; i++)
        {
            await ApplyAsync(node, twin, random, $"seed {seed}, operation {i}");
        }

        byte[] all = Filled(SizeBytes, 0xee);
        await node.ReadAsync(0, all);
        Assert.That(all.AsSpan().SequenceEqual(twin), $"seed {seed}");
        await node.CloseAsync();
    }

    protected static byte[] Filled(int length, byte value)
    {
        byte[] bytes = new byte[length];
        bytes.AsSpan().Fill(value);
        return bytes;
    }

    private static async ValueTask ApplyAsync(BlockNode node, byte[] twin, Random random, string where)
    {
        int length = random.Next(1, random.Next(2) == 0 ? 2000 : 100_000);
        int offset = random.Next(0, SizeBytes - length + 1);
        Memory<byte> range = twin.AsMemory(offset, length);
        switch (random.Next(6))
        {
            case 0:
                await node.WriteZeroesAsync(offset, length, random.Next(2) == 0 ? BlockWriteFlags.MayUnmap : BlockWriteFlags.None);
                range.Span.Clear();
                break;
            case 1:
                await node.DiscardAsync(offset, length);
                await node.ReadAsync(offset, range); // what it reads as is the driver's affair
                break;
            case 2:
                await node.FlushAsync();
                break;
            case 3:
                using (IoBuffer buffer = IoBufferPool.Rent(length))
                {
                    await node.ReadAsync(offset, buffer.Memory[..length]);
                    Assert.That(buffer.GetSpan()[..length].SequenceEqual(range.Span), where);
                }

                break;
            default:
                random.NextBytes(range.Span);
                await node.WriteAsync(offset, range, random.Next(8) == 0 ? BlockWriteFlags.Fua : BlockWriteFlags.None);
                break;
        }
    }
}
