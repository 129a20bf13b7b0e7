using Monitor.Block;
using Monitor.Block.Io;
using Monitor.Qapi;
using NUnit.Framework;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Drivers;

/// <summary>What every driver that keeps bytes promises, checked against a plain array of bytes.</summary>
/// <remarks>
/// A driver's tests derive from this and say how to make a node, opened, of <see cref="SizeBytes"/> zero bytes, and what the driver
/// cannot: then the tests check that it refuses, or forgets. Those of a driver that stands on another node derive from
/// <see cref="LayerContract"/>, which says what becomes of errors from below.
/// </remarks>
public abstract class DriverContract
{
    protected const int SizeBytes = 1 << 20;

    private const int Operations = 600;
    private const int Drains = 25;
    private const int Guests = 3;

    /// <summary>Makes the edges below the node, and doors above it.</summary>
    protected TestGraph Graph { get; private set; } = null!;

    /// <summary>Whether the node's size can be changed.</summary>
    protected virtual bool CanResize => true;

    /// <summary>What a resize fails with if it cannot.</summary>
    protected virtual int ResizeErrno => Errno.ENOTSUP;

    /// <summary>Whether what is written is read back; what keeps nothing goes on reading as zeroes.</summary>
    protected virtual bool KeepsBytes => true;

    /// <summary>Whether writes are taken; what takes none fails each with ENOTSUP and goes on showing the same.</summary>
    protected virtual bool TakesWrites => true;

    protected static BlockNodeSettings Settings(string name = "n") => new() { NodeName = name, DiscardUnmap = true };

    /// <summary>Opens a node of <see cref="SizeBytes"/> zero bytes.</summary>
    protected abstract ValueTask<BlockNode> OpenAsync(BlockNodeSettings settings);

    protected ValueTask<BlockNode> OpenAsync() => OpenAsync(Settings());

    [SetUp]
    public void MakeGraph() => Graph = new TestGraph();

    [TearDown]
    public void RemoveGraph() => Graph.Dispose();

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
        if (await RefusesAsync(node))
        {
            return;
        }

        await node.WriteAsync(5000, Filled(300, 0x5a));
        byte[] buffer = Filled(500, 0xee);

        await node.ReadAsync(4900, buffer);

        Assert.Multiple(() =>
        {
            Assert.That(buffer[..100], Is.All.Zero);
            Assert.That(buffer[100..400], Is.All.EqualTo(Kept(0x5a)));
            Assert.That(buffer[400..], Is.All.Zero);
        });
        await node.CloseAsync();
    }

    [Test]
    public async Task Runs_of_a_map_cover_the_node_and_zero_runs_read_as_zeroes()
    {
        BlockNode node = await OpenAsync();
        if (TakesWrites)
        {
            await node.WriteAsync(SizeBytes / 2, Filled(70_000, 1));
        }

        long covered = 0;
        while (covered < SizeBytes)
        {
            BlockMapping run = await node.MapAsync(covered, SizeBytes - covered);
            Assert.That(run.Length, Is.InRange(1, SizeBytes - covered));
            if (run.Kind == BlockMappingKind.Zero)
            {
                byte[] content = Filled((int)run.Length, 0xee);
                await node.ReadAsync(covered, content);
                Assert.That(HoldsOnly(content, 0), $"at {covered}");
            }

            covered += run.Length;
        }

        if (TakesWrites && KeepsBytes)
        {
            Assert.That((await node.MapAsync(SizeBytes / 2, 70_000)).Kind, Is.Not.EqualTo(BlockMappingKind.Zero));
        }

        await node.CloseAsync();
    }

    [Test]
    public async Task Many_runs_at_once_tell_what_run_by_run_tells([Values(1, 2, 7, 1000)] int room)
    {
        BlockNode node = await OpenAsync();
        var random = new Random(room);
        for (int i = 0; TakesWrites && i < 12; i++)
        {
            await ApplyAsync(node, new byte[SizeBytes], random, $"operation {i}");
        }

        for (int i = 0; i < 20; i++)
        {
            int offset = random.Next(SizeBytes - 1);
            int length = random.Next(1, SizeBytes - offset + 1);
            string range = $"room {room}, {length} bytes at {offset}";
            string told = await StatusMap.OfManyAsync(node.DescribeAsync, offset, length, room, range);
            Assert.That(told, Is.EqualTo(await StatusMap.OfEachAsync(async (at, rest) => await OneAsync(node, at, rest), offset, length)), range);
        }

        await node.CloseAsync();

        static async ValueTask<BlockStatus> OneAsync(BlockNode node, long offset, long length)
        {
            BlockMapping run = await node.MapAsync(offset, length);
            return BlockStatus.Of(run.Kind, run.Length);
        }
    }

    [Test]
    public async Task Random_operations_give_what_an_array_of_bytes_gives([Values(1, 2, 3)] int seed)
    {
        BlockNode node = await OpenAsync();
        if (await RefusesAsync(node))
        {
            return;
        }

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

    [Test]
    public async Task Each_kind_of_write_marks_the_bitmaps_and_reads_do_not()
    {
        BlockNode node = await OpenAsync();
        if (await RefusesAsync(node))
        {
            return;
        }

        node.Bitmaps.Add("b", 65536, persistent: false);
        await node.ReadAsync(0, new byte[SizeBytes]);
        await node.FlushAsync();
        Assert.That(DirtyBytes(node), Is.Zero);

        await node.WriteAsync(100, Filled(1, 1));
        Assert.That(DirtyBytes(node), Is.EqualTo(65536));
        await node.WriteZeroesAsync(2 * 65536, 10);
        Assert.That(DirtyBytes(node), Is.EqualTo(2 * 65536));
        await node.DiscardAsync(4 * 65536, 65536);
        Assert.That(DirtyBytes(node), Is.EqualTo(3 * 65536));
        await node.CloseAsync();
    }

    [Test]
    public async Task Ignored_discards_change_nothing()
    {
        BlockNode node = await OpenAsync(Settings() with { DiscardUnmap = false });
        if (TakesWrites)
        {
            await node.WriteAsync(0, Filled(SizeBytes, 1));
        }

        await node.DiscardAsync(0, SizeBytes);

        Assert.That(HoldsOnly(await ContentAsync(node), TakesWrites ? Kept(1) : (byte)0));
        await node.CloseAsync();
    }

    [TestCase(DetectZeroesMode.On)]
    [TestCase(DetectZeroesMode.Unmap)]
    public async Task Detected_zeroes_read_as_zeroes(DetectZeroesMode mode)
    {
        BlockNode node = await OpenAsync(Settings() with { DetectZeroes = mode });
        if (await RefusesAsync(node))
        {
            return;
        }

        await node.WriteAsync(0, Filled(SizeBytes, 1));

        await node.WriteAsync(1000, Filled(200_000, 0));

        byte[] content = await ContentAsync(node);
        Assert.Multiple(() =>
        {
            Assert.That(HoldsOnly(content.AsSpan(0, 1000), Kept(1)));
            Assert.That(HoldsOnly(content.AsSpan(1000, 200_000), 0));
            Assert.That(HoldsOnly(content.AsSpan(201_000), Kept(1)));
        });
        await node.CloseAsync();
    }

    [Test]
    public async Task A_resize_keeps_what_stays_and_reads_as_zeroes_behind_it()
    {
        BlockNode node = await OpenAsync();
        if (!CanResize)
        {
            Assert.That(async () => await node.TruncateAsync(2 * SizeBytes), Fails(ResizeErrno));
            Assert.That(node.SizeBytes, Is.EqualTo(SizeBytes));
            await node.CloseAsync();
            return;
        }

        await node.WriteAsync(0, Filled(SizeBytes, 3));
        await node.TruncateAsync(SizeBytes / 2);
        Assert.That(node.SizeBytes, Is.EqualTo(SizeBytes / 2));
        await node.TruncateAsync(2 * SizeBytes);

        byte[] content = await ContentAsync(node);
        Assert.Multiple(() =>
        {
            Assert.That(content, Has.Length.EqualTo(2 * SizeBytes));
            Assert.That(HoldsOnly(content.AsSpan(0, SizeBytes / 2), 3));
            Assert.That(HoldsOnly(content.AsSpan(SizeBytes / 2), 0));
        });
        await node.CloseAsync();
    }

    [Test]
    public async Task Requests_beyond_the_end_end_at_the_door()
    {
        BlockNode node = await OpenAsync();
        BlockBackend door = Graph.AttachRoot(node, BlockPermission.ConsistentRead | BlockPermission.Write, BlockPermission.All);

        Assert.Multiple(() =>
        {
            Assert.That(async () => await door.ReadAsync(SizeBytes - 1, new byte[2]), Fails(Errno.EIO));
            Assert.That(async () => await door.WriteAsync(SizeBytes, new byte[1]), Fails(Errno.EIO));
            Assert.That(async () => await door.WriteZeroesAsync(-1, 1), Fails(Errno.EIO));
            Assert.That(async () => await door.DiscardAsync(long.MaxValue, 1), Fails(Errno.EIO));
            Assert.That(async () => await door.WriteAsync(SizeBytes - 1, Filled(1, 1)), TakesWrites ? Throws.Nothing : Fails(Errno.ENOTSUP));
            Assert.That(async () => await door.ReadAsync(SizeBytes, default), Throws.Nothing);
            Assert.That(door.InFlight, Is.Zero);
        });
        await node.CloseAsync();
    }

    [Test]
    public async Task A_read_only_node_has_no_writers()
    {
        BlockNode node = await OpenAsync(Settings() with { ReadOnly = true });

        Assert.That(
            () => Graph.AttachRoot(node, BlockPermission.Write, BlockPermission.All),
            Throws.TypeOf<QmpException>().With.Message.EqualTo("Block node is read-only"));
        await node.ReadAsync(0, new byte[512]);
        await node.CloseAsync();
    }

    [Test]
    public async Task A_node_that_others_may_write_outside_reads()
    {
        BlockNode node = await OpenAsync(Settings() with { ReadOnly = true, ForceShare = true });

        Assert.That(HoldsOnly(await ContentAsync(node), 0));
        await node.CloseAsync();
    }

    [Test]
    public async Task A_node_that_may_turn_read_only_by_itself_is_writable_while_its_medium_is()
    {
        BlockNode node = await OpenAsync(Settings() with { AutoReadOnly = true });
        BlockBackend door = Graph.AttachRoot(node, BlockPermission.ConsistentRead | BlockPermission.Write, BlockPermission.All);
        if (TakesWrites)
        {
            await door.WriteAsync(1000, Filled(5000, 4));
        }

        byte[] seen = new byte[5000];
        await door.ReadAsync(1000, seen);
        Assert.That(HoldsOnly(seen, TakesWrites ? Kept(4) : (byte)0));
        Assert.That(node.IsReadOnly, Is.False);
        await node.CloseAsync();
    }

    [TestCase(true, false)]
    [TestCase(false, true)]
    [TestCase(true, true)]
    public async Task Modes_of_caching_change_nothing_that_is_seen(bool direct, bool noFlush)
    {
        BlockNode node = await OpenAsync(Settings() with { CacheDirect = direct, CacheNoFlush = noFlush });
        if (await RefusesAsync(node))
        {
            return;
        }

        byte[] twin = new byte[SizeBytes];
        var random = new Random(5);
        for (int i = 0; i < Operations / 6; i++)
        {
            await ApplyAsync(node, twin, random, $"operation {i}");
        }

        await node.FlushAsync();
        Assert.That((await ContentAsync(node)).AsSpan().SequenceEqual(twin));
        await node.CloseAsync();
    }

    [Test]
    [CancelAfter(120_000)]
    public async Task Drains_end_and_lose_nothing_while_requests_come()
    {
        BlockNode node = await OpenAsync();
        BlockBackend door = Graph.AttachRoot(node, BlockPermission.ConsistentRead | BlockPermission.Write, BlockPermission.All);
        byte[] twin = new byte[SizeBytes];
        using var stop = new CancellationTokenSource();
        Task[] guests = [.. Enumerable.Range(0, Guests).Select(guest => Task.Run(() => WriteAndReadAsync(door, twin, guest, stop.Token)))];
        for (int i = 0; i < Drains; i++)
        {
            await Graph.Loop.RunAsync(async () =>
            {
                using DrainedSection section = await Graph.Graph.DrainAsync(node);
                // Who knocks at the closed door is counted for an instant.
                Assert.That(SpinWait.SpinUntil(() => door.InFlight == 0, TimeSpan.FromSeconds(30)));
            });
        }

        await stop.CancelAsync();
        await Task.WhenAll(guests);
        Assert.That((await ContentAsync(node)).AsSpan().SequenceEqual(twin));
        await node.CloseAsync();
    }

    protected static NUnit.Framework.Constraints.IResolveConstraint Fails(int errno) =>
        Throws.TypeOf<BlockIoException>().With.Property("Errno").EqualTo(errno);

    protected static bool HoldsOnly(ReadOnlySpan<byte> bytes, byte value) => bytes.IndexOfAnyExcept(value) < 0;

    protected static async ValueTask<byte[]> ContentAsync(BlockNode node)
    {
        byte[] content = Filled((int)node.SizeBytes, 0xee);
        await node.ReadAsync(0, content);
        return content;
    }

    protected static byte[] Filled(int length, byte value)
    {
        byte[] bytes = new byte[length];
        bytes.AsSpan().Fill(value);
        return bytes;
    }

    private byte Kept(byte value) => KeepsBytes ? value : (byte)0;

    /// <summary>For a node that takes no writes: checks that it refuses them, stays as it was, and closes it.</summary>
    private async ValueTask<bool> RefusesAsync(BlockNode node)
    {
        if (TakesWrites)
        {
            return false;
        }

        Assert.Multiple(() =>
        {
            Assert.That(async () => await node.WriteAsync(5000, Filled(300, 1)), Fails(Errno.ENOTSUP));
            Assert.That(async () => await node.WriteZeroesAsync(0, 65536), Fails(Errno.ENOTSUP));
            Assert.That(async () => await node.FlushAsync(), Throws.Nothing);
        });
        Assert.That(HoldsOnly(await ContentAsync(node), 0));
        await node.CloseAsync();
        return true;
    }

    private static long DirtyBytes(BlockNode node) => node.Bitmaps.List()[0].CountBytes;

    /// <summary>One of several guests, each with a part of the disk to itself whose ends are on no boundary.</summary>
    private async Task WriteAndReadAsync(BlockBackend door, byte[] twin, int guest, CancellationToken stop)
    {
        const int PartBytes = SizeBytes / Guests;
        var random = new Random(guest);
        while (!stop.IsCancellationRequested)
        {
            int length = random.Next(1, 20_000);
            int offset = (guest * PartBytes) + random.Next(PartBytes - length);
            if (TakesWrites)
            {
                random.NextBytes(twin.AsSpan(offset, length));
                await door.WriteAsync(offset, twin.AsMemory(offset, length));
                Forget(twin.AsSpan(offset, length));
            }

            byte[] seen = new byte[length];
            await door.ReadAsync(offset, seen);
            Assert.That(seen.AsSpan().SequenceEqual(twin.AsSpan(offset, length)), $"at {offset}");
        }
    }

    private void Forget(Span<byte> written)
    {
        if (!KeepsBytes)
        {
            written.Clear();
        }
    }

    private async ValueTask ApplyAsync(BlockNode node, byte[] twin, Random random, string where)
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
                Forget(range.Span);
                break;
        }
    }
}
