using System.Buffers.Binary;
using Monitor.Block;
using Monitor.Block.Drivers.Nbd;
using Monitor.Nbd;
using Monitor.Qapi;
using Monitor.Storage.Exports;
using NUnit.Framework;
using NUnit.Framework.Constraints;
using Unit.Drivers;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Nbd;

/// <summary>The client against our own server and against one that misbehaves.</summary>
public sealed class NbdNodeTests
{
    /// <summary>What a hostile server answers to a read of 4096 bytes at 8192, by name.</summary>
    private static readonly Dictionary<string, Action<NbdScriptedServer, NbdRequestHeader>> s_lies = new()
    {
        ["another magic word"] = (server, _) => server.Stream.Write(new byte[64]),
        ["another cookie"] = (server, read) => server.SendChunk(NbdChunkFlags.Done, NbdChunkType.None, read.Cookie + 1),
        ["a cookie far outside"] = (server, _) => server.SendChunk(NbdChunkFlags.Done, NbdChunkType.None, ulong.MaxValue),
        ["nothing at all"] = (server, read) => server.SendChunk(NbdChunkFlags.Done, NbdChunkType.None, read.Cookie),
        ["too few bytes"] = (server, read) => server.SendData(read, 8192, 4095, 1, NbdChunkFlags.Done),
        ["bytes before the range"] = (server, read) => server.SendData(read, 8191, 2, 1),
        ["bytes behind the range"] = (server, read) => server.SendData(read, 12287, 2, 1),
        ["bytes at the end of all numbers"] = (server, read) => server.SendData(read, ulong.MaxValue, 1, 1),
        ["the same bytes twice"] = (server, read) =>
        {
            server.SendData(read, 8192, 4096, 1);
            server.SendData(read, 8192, 1, 1, NbdChunkFlags.Done);
        },
        ["a chunk of 4 GiB"] = (server, read) =>
        {
            byte[] header = new byte[NbdChunkHeader.Size];
            new NbdChunkHeader(NbdChunkFlags.None, NbdChunkType.OffsetData, read.Cookie, uint.MaxValue).Write(header);
            server.Stream.Write(header);
        },
        ["a hole of 4 GiB"] = (server, read) =>
        {
            byte[] hole = new byte[NbdHoleChunk.Size];
            new NbdHoleChunk(NbdChunkFlags.Done, read.Cookie, 8192, uint.MaxValue).Write(hole);
            server.Stream.Write(hole);
        },
        ["an error that is none"] = (server, read) => server.SendChunk(NbdChunkFlags.Done, NbdChunkType.Error, read.Cookie, 0, 0, 0, 0, 0, 0),
        ["an error's text that is not there"] =
            (server, read) => server.SendChunk(NbdChunkFlags.Done, NbdChunkType.Error, read.Cookie, 0, 0, 0, 5, 255, 255),
        ["an unknown chunk"] = (server, read) => server.SendChunk(NbdChunkFlags.Done, (NbdChunkType)99, read.Cookie),
        ["a simple reply"] = (server, read) =>
        {
            byte[] reply = new byte[NbdSimpleReply.Size];
            new NbdSimpleReply(NbdError.None, read.Cookie).Write(reply);
            server.Stream.Write(reply);
        },
        ["extents"] = (server, read) =>
            server.SendChunk(NbdChunkFlags.Done, NbdChunkType.BlockStatus, read.Cookie, 0, 0, 0, (byte)NbdScriptedServer.ContextId, 0, 0, 1, 0, 0, 0, 0, 0),
    };

    private static IEnumerable<string> Lies => s_lies.Keys;

    [Test]
    public async Task Flags_reach_the_server_and_come_back_as_errors()
    {
        using var host = new NbdHost();
        using NbdNode node = await ConnectAsync(host.Path);

        await node.WriteAsync(0, new byte[512], BlockWriteFlags.Fua);
        Assert.That(host.Node.LastFlags, Is.EqualTo(BlockWriteFlags.Fua));
        await node.WriteZeroesAsync(0, 512, BlockWriteFlags.MayUnmap);
        Assert.That(host.Node.LastFlags & BlockWriteFlags.MayUnmap, Is.EqualTo(BlockWriteFlags.MayUnmap));
        await node.WriteZeroesAsync(0, 512);
        Assert.That(host.Node.LastFlags & BlockWriteFlags.MayUnmap, Is.EqualTo(BlockWriteFlags.None));
        await node.WriteZeroesAsync(0, 512, BlockWriteFlags.NoFallback);
        Assert.That(async () => await node.WriteZeroesAsync(512, 512, BlockWriteFlags.NoFallback), Fails(Errno.ENOTSUP));
        await node.FlushAsync();
        Assert.That(host.Node.Flushes, Is.EqualTo(1));
        host.Node.Errno = Errno.ENOSPC;
        Assert.That(async () => await node.WriteAsync(0, new byte[512]), Fails(Errno.ENOSPC));
        Assert.That(async () => await node.ReadAsync(0, new byte[512]), Fails(Errno.ENOSPC));
        host.Node.Errno = 0;
        await node.WriteAsync(0, new byte[512]);
    }

    [Test]
    public async Task A_write_behind_the_end_is_refused_without_asking()
    {
        using var host = new NbdHost();
        using NbdNode node = await ConnectAsync(host.Path);
        Assert.That(async () => await node.WriteAsync(NbdHost.SizeBytes - 1, new byte[2]), Fails(Errno.ENOSPC));
        Assert.That(async () => await node.WriteZeroesAsync(NbdHost.SizeBytes, 1), Fails(Errno.ENOSPC));
    }

    [Test]
    public async Task A_read_only_export_opens_read_only_or_not_at_all()
    {
        using var host = new NbdHost(readOnly: true);
        Assert.That(async () => await ConnectAsync(host.Path), Throws.TypeOf<QmpException>().With.Message.EqualTo("Could not open image: Permission denied"));
        using NbdNode node = await ConnectAsync(host.Path, settings: new BlockNodeSettings { NodeName = "n", AutoReadOnly = true });
        Assert.That(node.IsReadOnly);
    }

    [Test]
    public async Task A_bitmap_s_extents_are_asked_for_by_name()
    {
        using var host = new NbdHost(options: memory => new NbdExportOptions
        {
            Id = "id",
            Name = "e",
            Writable = true,
            Bitmaps = [memory.Bitmaps.Add("b", 65536)],
        });
        using NbdNode node = await ConnectAsync(host.Path, bitmap: "qemu:dirty-bitmap:b");
        await node.WriteAsync(0, new byte[512]);
        BlockMapping run = await node.MapAsync(0, 1 << 20);
        Assert.That(run.Length, Is.EqualTo(65536));
    }

    [Test]
    public async Task Many_requests_are_under_way_at_once_and_each_gets_its_own_answer()
    {
        const int Count = 1000;
        using var host = new NbdHost();
        using NbdNode node = await ConnectAsync(host.Path);
        host.Node.CloseGate();
        Task[] writes = [.. Enumerable.Range(0, Count).Select(i => node.WriteAsync(i * 4096, Pattern(i)).AsTask())];
        NbdHost.Await(() => host.Node.Waiting > 1, "requests waited for each other");
        Assert.That(writes.Any(write => write.IsCompleted), Is.False);
        host.Node.OpenGate();
        await Task.WhenAll(writes);
        byte[][] read = await Task.WhenAll(Enumerable.Range(0, Count).Select(async i =>
        {
            byte[] bytes = new byte[4096];
            await node.ReadAsync(i * 4096, bytes);
            return bytes;
        }));
        for (int i = 0; i < Count; i++)
        {
            Assert.That(read[i].AsSpan().SequenceEqual(Pattern(i)), $"request {i}");
        }
    }

    [Test]
    public async Task A_large_write_and_read_pass_whole()
    {
        using var host = new NbdHost();
        using NbdNode node = await ConnectAsync(host.Path);
        byte[] bytes = new byte[NbdHost.SizeBytes - 3];
        new Random(1).NextBytes(bytes);
        await node.WriteAsync(3, bytes);
        byte[] read = new byte[bytes.Length];
        await node.ReadAsync(3, read);
        Assert.That(read.AsSpan().SequenceEqual(bytes));
        Assert.That(host.Node.Bytes[3..].SequenceEqual(bytes));
    }

    [Test]
    public async Task A_lost_server_means_EIO_for_requests_under_way_and_later_ones()
    {
        using var host = new NbdHost();
        using NbdNode node = await ConnectAsync(host.Path);
        host.Node.CloseGate();
        Task write = node.WriteAsync(0, new byte[512]).AsTask();
        NbdHost.Await(() => host.Node.Waiting == 1, "the write never came");
        Task stopping = Task.Run(host.Stop);
        Assert.That(async () => await write, Fails(Errno.EIO));
        Assert.That(async () => await node.ReadAsync(0, new byte[512]), Fails(Errno.EIO));
        host.Node.OpenGate();
        await stopping;
    }

    [Test]
    public async Task With_a_reconnect_delay_requests_wait_and_are_made_again()
    {
        using var host = new NbdHost();
        var time = new ManualTime();
        using NbdNode node = await ConnectAsync(host.Path, 1_000_000, time);
        host.Node.CloseGate();
        Task[] writes = [.. Enumerable.Range(0, 20).Select(i => node.WriteAsync(i * 4096, Pattern(i)).AsTask())];
        NbdHost.Await(() => host.Node.Waiting == 20, "the writes never came");
        Task stopping = Task.Run(host.Stop);
        NbdHost.Await(() => !node.IsConnected, "the loss went unnoticed");
        host.Node.OpenGate();
        await stopping;
        Task read = node.ReadAsync(0, new byte[4096]).AsTask();
        Assert.That(read.IsCompleted || writes.Any(write => write.IsCompleted), Is.False);
        host.Restart();
        NbdHost.Await(
            () =>
            {
                time.Advance(TimeSpan.FromSeconds(1));
                return node.IsConnected;
            },
            "it never came back");
        await Task.WhenAll([.. writes, read]);
        Assert.That(host.Node.Bytes.Slice(19 * 4096, 4096).SequenceEqual(Pattern(19)));
    }

    [Test]
    public async Task The_wait_for_a_lost_server_ends_with_its_time_or_when_somebody_needs_it([Values] bool ended)
    {
        using var host = new NbdHost();
        var time = new ManualTime();
        using NbdNode node = await ConnectAsync(host.Path, 10, time);
        host.Stop();
        NbdHost.Await(() => !node.IsConnected, "the loss went unnoticed");
        using var graph = new TestGraph();
        BlockBackend door = graph.AttachRoot(node, BlockPermission.ConsistentRead, BlockPermission.All);
        Task read = door.ReadAsync(0, new byte[512]).AsTask();
        time.Advance(TimeSpan.FromSeconds(9));
        Assert.That(read.IsCompleted, Is.False);
        if (ended)
        {
            Task drain = graph.Loop.RunAsync(async () => (await graph.Graph.DrainAsync(node)).Dispose());
            Assert.That(drain.Wait(NbdScriptedClient.Patience));
        }
        else
        {
            time.Advance(TimeSpan.FromSeconds(2));
        }

        Assert.That(async () => await read, Fails(Errno.EIO));
        Assert.That(async () => await node.ReadAsync(0, new byte[512]), Fails(Errno.EIO));
    }

    [TestCaseSource(nameof(Lies))]
    public async Task A_server_that_lies_is_left_and_harms_nothing(string lie)
    {
        using var server = new NbdScriptedServer(s =>
        {
            s.Negotiate();
            s_lies[lie](s, s.ReadRequest());
            s.ReadRequest();
        });
        using NbdNode node = await ConnectAsync(server.Path, 60, new ManualTime());
        byte[] memory = new byte[3 * 4096];
        Assert.That(async () => await node.ReadAsync(8192, memory.AsMemory(4096, 4096)), Fails(Errno.EIO));
        Assert.That(memory[..4096], Is.All.Zero);
        Assert.That(memory[8192..], Is.All.Zero);
        Assert.That(async () => await node.FlushAsync(), Fails(Errno.EIO));
    }

    [Test]
    public async Task Chunks_may_come_in_any_order_and_before_an_error()
    {
        using var server = new NbdScriptedServer(s =>
        {
            s.Negotiate();
            NbdRequestHeader read = s.ReadRequest();
            s.SendData(read, 3000, 1096, 3);
            s.SendData(read, 0, 1000, 1);
            byte[] hole = new byte[NbdHoleChunk.Size];
            new NbdHoleChunk(NbdChunkFlags.None, read.Cookie, 1000, 2000).Write(hole);
            s.Stream.Write(hole);
            s.SendChunk(NbdChunkFlags.Done, NbdChunkType.None, read.Cookie);
            read = s.ReadRequest();
            s.SendData(read, 0, 10, 1);
            s.SendChunk(NbdChunkFlags.None, NbdChunkType.ErrorOffset, read.Cookie, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10);
            s.SendChunk(NbdChunkFlags.Done, NbdChunkType.Error, read.Cookie, 0, 0, 0, 28, 0, 2, (byte)'n', (byte)'o');
            s.ReadRequest();
        });
        using NbdNode node = await ConnectAsync(server.Path);
        byte[] bytes = new byte[4096];
        bytes.AsSpan().Fill(9);
        await node.ReadAsync(0, bytes);
        Assert.That(bytes[..1000], Is.All.EqualTo(1));
        Assert.That(bytes[1000..3000], Is.All.Zero);
        Assert.That(bytes[3000..], Is.All.EqualTo(3));
        Assert.That(async () => await node.ReadAsync(0, bytes), Fails(Errno.ENOMEM));
    }

    [TestCase("0", 0u, 5u, Description = "of no length")]
    [TestCase("another context", 4096u, 6u)]
    public async Task Extents_of_no_length_or_another_context_are_no_answer(string what, uint length, uint context)
    {
        using var server = new NbdScriptedServer(s =>
        {
            s.Negotiate();
            byte[] data = new byte[12];
            BinaryPrimitives.WriteUInt32BigEndian(data, context == 5 ? NbdScriptedServer.ContextId : context);
            new NbdExtent(length, 0).Write(data.AsSpan(4));
            s.SendChunk(NbdChunkFlags.Done, NbdChunkType.BlockStatus, s.ReadRequest().Cookie, data);
            s.ReadRequest();
        });
        using NbdNode node = await ConnectAsync(server.Path);
        Assert.That(async () => await node.MapAsync(0, 4096), Fails(Errno.EIO), what);
    }

    [Test]
    public async Task A_server_that_reads_nothing_holds_no_caller()
    {
        using var stop = new ManualResetEventSlim();
        using var server = new NbdScriptedServer(s =>
        {
            s.Negotiate();
            stop.Wait();
        });
        NbdNode node = await ConnectAsync(server.Path);
        byte[] bytes = new byte[NbdScriptedServer.SizeBytes];
        Task[] writes = [.. Enumerable.Range(0, 50).Select(_ => node.WriteAsync(0, bytes).AsTask())];
        Assert.That(writes.Any(write => write.IsCompleted), Is.False);
        await node.CloseAsync();
        foreach (Task write in writes)
        {
            Assert.That(async () => await write, Fails(Errno.EIO));
        }

        stop.Set();
    }

    [Test]
    public async Task Blocks_of_the_server_are_kept_whole_whatever_is_written([Values(1, 2)] int seed)
    {
        byte[] disk = new byte[NbdScriptedServer.SizeBytes];
        using var server = new NbdScriptedServer(s =>
        {
            s.Negotiate(NbdTransmissionFlags.HasFlags, new NbdBlockSizes(4096, 4096, 65536));
            ServeBlocks(s, disk);
        });
        using NbdNode node = await ConnectAsync(server.Path);
        byte[] twin = new byte[disk.Length];
        var random = new Random(seed);
        for (int round = 0; round < 30; round++)
        {
            // Neighbours that share blocks, at once.
            int[] cuts = [.. Enumerable.Range(0, 9).Select(_ => random.Next(200_000)).Order()];
            var work = new List<Task>();
            for (int i = 0; i < 8; i++)
            {
                Memory<byte> range = twin.AsMemory(cuts[i]..cuts[i + 1]);
                if (random.Next(3) == 0)
                {
                    range.Span.Clear();
                    work.Add(node.WriteZeroesAsync(cuts[i], range.Length).AsTask());
                }
                else
                {
                    random.NextBytes(range.Span);
                    work.Add(node.WriteAsync(cuts[i], range).AsTask());
                }
            }

            await Task.WhenAll(work);
            byte[] read = new byte[100_000];
            await node.ReadAsync(random.Next(1000), read.AsMemory(0, 1));
            await node.ReadAsync(777, read);
            Assert.That(read.AsSpan().SequenceEqual(twin.AsSpan(777, read.Length)), $"seed {seed}, round {round}");
        }
    }

    [Test]
    public void What_is_no_server_is_refused_and_waited_for_no_longer_than_asked(
        [Values("", "HTTP/1.1 200 OK\r\n\r\n", "NBDMAGIC", "NBDMAGICIHAVEOPT")] string greeting)
    {
        using var server = new NbdScriptedServer(s => s.Stream.Write(System.Text.Encoding.ASCII.GetBytes(greeting)));
        Assert.That(async () =>
        {
            Task<NbdNode> connecting = ConnectAsync(server.Path);
            Assert.That(SpinWait.SpinUntil(() => connecting.IsCompleted || server.IsDone, NbdScriptedClient.Patience));
            server.HangUp();
            await connecting;
        }, Throws.TypeOf<QmpException>());
    }

    private static EqualNumericConstraint<int> Fails(int errno) => Throws.TypeOf<BlockIoException>().With.Property(nameof(BlockIoException.Errno)).EqualTo(errno);

    private static byte[] Pattern(int number)
    {
        byte[] bytes = new byte[4096];
        new Random(number).NextBytes(bytes);
        return bytes;
    }

    private static void ServeBlocks(NbdScriptedServer server, byte[] disk)
    {
        while (true)
        {
            NbdRequestHeader.TryRead(server.ReadBytes(NbdRequestHeader.Size), out NbdRequestHeader request);
            bool fits = request.Offset % 4096 == 0 && request.Length % 4096 == 0 && request.Length is > 0 and <= 65536;
            if (request.Command == NbdCommand.Write)
            {
                server.ReadBytes((int)request.Length).CopyTo(disk, (int)request.Offset);
            }

            if (!fits)
            {
                server.SendChunk(NbdChunkFlags.Done, NbdChunkType.Error, request.Cookie, 0, 0, 0, 22, 0, 0);
            }
            else if (request.Command == NbdCommand.Read)
            {
                byte[] bytes = new byte[NbdDataChunk.Size + request.Length];
                new NbdDataChunk(NbdChunkFlags.Done, request.Cookie, request.Offset, request.Length).Write(bytes);
                disk.AsSpan((int)request.Offset, (int)request.Length).CopyTo(bytes.AsSpan(NbdDataChunk.Size));
                server.Stream.Write(bytes);
            }
            else
            {
                server.SendChunk(NbdChunkFlags.Done, NbdChunkType.None, request.Cookie);
            }
        }
    }

    private static async Task<NbdNode> ConnectAsync(
        string path, uint reconnectDelay = 0, TimeProvider? clock = null, string? bitmap = null, BlockNodeSettings? settings = null)
    {
        var node = new NbdNode(
            settings ?? new BlockNodeSettings { NodeName = "n", DiscardUnmap = true },
            new BlockdevOptionsNbd { Server = NbdHost.Unix(path), Export = "e", ReconnectDelay = reconnectDelay, XDirtyBitmap = bitmap },
            clock);
        await Task.Run(() => node.OpenAsync().AsTask());
        return node;
    }
}
