using Monitor.Block;
using Monitor.Nbd;
using Monitor.Storage.Exports;
using NUnit.Framework;

namespace Unit.Nbd;

/// <summary>The transmission phase, command by command.</summary>
public sealed class NbdTransmissionTests
{
    private NbdHost _host = null!;
    private NbdScriptedClient _client = null!;

    [SetUp]
    public void SetUp()
    {
        _host = new NbdHost();
        _client = _host.Connect();
    }

    [TearDown]
    public void TearDown()
    {
        _client.Dispose();
        _host.Dispose();
    }

    [TestCase(1)]
    [TestCase(4096)]
    [TestCase(32 << 10)]
    [TestCase((32 << 10) + 1)]
    [TestCase(1 << 20)]
    public void What_was_written_reads_back(int length)
    {
        byte[] payload = Pattern(length, 7);
        _client.Go().Send(NbdCommand.Write, 12345, (uint)length, payload: payload);
        Assert.That(_client.ReadSimple(), Is.EqualTo(new NbdSimpleReply(NbdError.None, 1)));
        _client.Send(NbdCommand.Read, 12345, (uint)length, cookie: 9);
        Assert.That(_client.ReadData(12345, length).Bytes.AsSpan().SequenceEqual(payload), Is.True);
        Assert.That(_host.Node.Bytes.Slice(12345, length).SequenceEqual(payload), Is.True);
    }

    [TestCase(1)]
    [TestCase(2)]
    public void Writes_long_and_short_that_follow_without_a_pause_stay_whole(int seed)
    {
        var random = new Random(seed);
        byte[] expected = new byte[NbdHost.SizeBytes];
        _client.Go();
        using var requests = new MemoryStream();
        int count = 0;
        for (int end = 0; ; count++)
        {
            int length = random.Next(1, random.Next(3) == 0 ? 4096 : 400_000);
            int offset = random.Next(NbdHost.SizeBytes - length);
            end += length;
            if (end > 24 << 20)
            {
                break;
            }

            byte[] payload = Pattern(length, count);
            payload.CopyTo(expected, offset);
            byte[] header = new byte[NbdRequestHeader.Size];
            new NbdRequestHeader(NbdCommandFlags.None, NbdCommand.Write, (ulong)count, (ulong)offset, (uint)length).Write(header);
            requests.Write(header);
            requests.Write(payload);
        }

        _client.Stream.Write(requests.GetBuffer(), 0, (int)requests.Length);
        for (int i = 0; i < count; i++)
        {
            Assert.That(_client.ReadSimple(), Is.EqualTo(new NbdSimpleReply(NbdError.None, (ulong)i)), $"seed {seed}");
        }

        Assert.That(_host.Node.Bytes.SequenceEqual(expected), Is.True, $"seed {seed}");
    }

    [TestCase(100)]
    [TestCase(300_000)]
    public void Simple_replies_carry_the_bytes_behind_them(int length)
    {
        Pattern(length, 3).CopyTo(_host.Node.Bytes[77..]);
        _client.GoSimply().Send(NbdCommand.Read, 77, (uint)length, cookie: 5);
        Assert.That(_client.ReadSimple(), Is.EqualTo(new NbdSimpleReply(NbdError.None, 5)));
        Assert.That(_client.ReadBytes(length), Is.EqualTo(Pattern(length, 3)));
    }

    [Test]
    public void A_long_read_leaves_holes_out_unless_it_must_not_be_fragmented()
    {
        byte[] expected = new byte[1 << 20];
        _client.Go();
        foreach (int position in new[] { 65536, 4 * 65536, 5 * 65536 })
        {
            Pattern(65536, position).CopyTo(expected, position);
            _client.Send(NbdCommand.Write, (ulong)position, 65536, payload: Pattern(65536, position));
            _client.ReadSimple();
        }

        _client.Send(NbdCommand.Read, 0, 1 << 20);
        (byte[] bytes, List<NbdChunkType> types) = _client.ReadData(0, 1 << 20);
        Assert.That(bytes.AsSpan().SequenceEqual(expected), Is.True);
        Assert.That(types, Is.EqualTo(new[]
        {
            NbdChunkType.OffsetHole, NbdChunkType.OffsetData, NbdChunkType.OffsetHole, NbdChunkType.OffsetData, NbdChunkType.OffsetHole,
        }));
        _client.Send(NbdCommand.Read, 65536 + 100, 1 << 19);
        Assert.That(_client.ReadData(65536 + 100, 1 << 19).Bytes.AsSpan().SequenceEqual(expected.AsSpan(65536 + 100, 1 << 19)), Is.True);
        _client.Send(NbdCommand.Read, 0, 1 << 20, NbdCommandFlags.DontFragment);
        (bytes, types) = _client.ReadData(0, 1 << 20);
        Assert.That(bytes.AsSpan().SequenceEqual(expected), Is.True);
        Assert.That(types, Is.EqualTo(new[] { NbdChunkType.OffsetData }));
    }

    [Test]
    public void A_short_read_of_zeroes_is_a_hole_unless_it_must_not_be_fragmented()
    {
        _client.Go().Send(NbdCommand.Read, 0, 4096);
        Assert.That(_client.ReadData(0, 4096).Types, Is.EqualTo(new[] { NbdChunkType.OffsetHole }));
        _client.Send(NbdCommand.Read, 0, 4096, NbdCommandFlags.DontFragment);
        Assert.That(_client.ReadData(0, 4096).Types, Is.EqualTo(new[] { NbdChunkType.OffsetData }));
    }

    [Test]
    public void Empty_requests_succeed()
    {
        _client.Go().Send(NbdCommand.Read, 5, 0);
        Assert.That(_client.ReadChunk().Header, Is.EqualTo(new NbdChunkHeader(NbdChunkFlags.Done, NbdChunkType.None, 1, 0)));
        foreach (NbdCommand command in new[] { NbdCommand.Write, NbdCommand.Trim, NbdCommand.WriteZeroes, NbdCommand.Cache })
        {
            _client.Send(command, NbdHost.SizeBytes, 0);
            Assert.That(_client.ReadSimple().Error, Is.EqualTo(NbdError.None), $"{command}");
        }
    }

    [Test]
    public void Flags_reach_the_node()
    {
        _client.Go().Send(NbdCommand.Write, 0, 4, NbdCommandFlags.Fua, payload: [1, 2, 3, 4]);
        CheckFlags(BlockWriteFlags.Fua);
        _client.Send(NbdCommand.WriteZeroes, 0, 4096);
        CheckFlags(BlockWriteFlags.MayUnmap);
        _client.Send(NbdCommand.WriteZeroes, 0, 4096, NbdCommandFlags.NoHole | NbdCommandFlags.FastZero | NbdCommandFlags.Fua);
        CheckFlags(BlockWriteFlags.NoFallback | BlockWriteFlags.Fua);
        _client.Send(NbdCommand.WriteZeroes, 1, 4096, NbdCommandFlags.FastZero);
        Assert.That(_client.ReadError().Error, Is.EqualTo(NbdError.NotSupported));
    }

    [Test]
    public void Flush_trim_and_cache_do_their_work()
    {
        _host.Node.Bytes[..65536].Fill(1);
        _client.Go().Send(NbdCommand.Flush, 0, 0);
        Assert.That(_client.ReadSimple().Error, Is.EqualTo(NbdError.None));
        Assert.That(_host.Node.Flushes, Is.EqualTo(1));
        _client.Send(NbdCommand.Trim, 0, 65536, NbdCommandFlags.Fua);
        Assert.That(_client.ReadSimple().Error, Is.EqualTo(NbdError.None));
        Assert.That(_host.Node.Flushes, Is.EqualTo(2));
        Assert.That(_host.Node.Bytes[..65536].IndexOfAnyExcept((byte)0), Is.EqualTo(-1));
        _client.Send(NbdCommand.Cache, 0, 3 << 20);
        Assert.That(_client.ReadSimple().Error, Is.EqualTo(NbdError.None));
        _client.Send(NbdCommand.Read, 0, 512, NbdCommandFlags.Fua);
        _client.ReadData(0, 512);
        Assert.That(_host.Node.Flushes, Is.EqualTo(3));
    }

    [TestCase(NbdCommand.Read, 0, NbdHost.SizeBytes - 10, 20u, NbdError.Invalid, "operation past EOF; From: 8388598, Len: 20, Size: 8388608")]
    [TestCase(NbdCommand.Write, 0, NbdHost.SizeBytes - 10, 20u, NbdError.NoSpace, "operation past EOF; From: 8388598, Len: 20, Size: 8388608")]
    [TestCase(NbdCommand.Write, 0, NbdHost.SizeBytes - 10, 100_000u, NbdError.NoSpace, "operation past EOF; From: 8388598, Len: 100000, Size: 8388608")]
    [TestCase(NbdCommand.WriteZeroes, 0, NbdHost.SizeBytes - 10, 20u, NbdError.NoSpace, "operation past EOF; From: 8388598, Len: 20, Size: 8388608")]
    [TestCase(NbdCommand.Trim, 0, NbdHost.SizeBytes - 10, 20u, NbdError.Invalid, "operation past EOF; From: 8388598, Len: 20, Size: 8388608")]
    [TestCase(NbdCommand.Read, 0, long.MinValue, 20u, NbdError.Invalid, "operation past EOF; From: 9223372036854775808, Len: 20, Size: 8388608")]
    [TestCase(NbdCommand.Read, 0, 0, (32u << 20) + 1, NbdError.Invalid, "len (33554433) is larger than max len (33554432)")]
    [TestCase(NbdCommand.Cache, 0, 0, (32u << 20) + 1, NbdError.Invalid, "len (33554433) is larger than max len (33554432)")]
    [TestCase(NbdCommand.Read, 2, 0, 512u, NbdError.Invalid, "unsupported flags for command read (got 0x2)")]
    [TestCase(NbdCommand.Write, 2, 0, 4u, NbdError.Invalid, "unsupported flags for command write (got 0x2)")]
    [TestCase((NbdCommand)99, 0, 0, 0u, NbdError.Invalid, "invalid request type (99) received")]
    [TestCase(NbdCommand.BlockStatus, 0, 0, 512u, NbdError.Invalid, "CMD_BLOCK_STATUS not negotiated")]
    public void Bad_requests_are_told_why_and_the_next_one_is_served(
        NbdCommand command, int flags, long offset, uint length, NbdError error, string message)
    {
        _client.Go().Send(command, (ulong)offset, length, (NbdCommandFlags)flags, payload: command == NbdCommand.Write ? new byte[length] : null);
        Assert.That(_client.ReadError(), Is.EqualTo(new NbdErrorChunk(1, error, message)));
        _client.Send(NbdCommand.Flush, 0, 0, cookie: 2);
        Assert.That(_client.ReadSimple(), Is.EqualTo(new NbdSimpleReply(NbdError.None, 2)));
    }

    [Test]
    public void Simple_errors_carry_the_number_alone()
    {
        _client.GoSimply().Send(NbdCommand.Read, NbdHost.SizeBytes, 1);
        Assert.That(_client.ReadSimple().Error, Is.EqualTo(NbdError.Invalid));
        _client.Send(NbdCommand.Read, 0, 512, NbdCommandFlags.DontFragment);
        Assert.That(_client.ReadSimple().Error, Is.EqualTo(NbdError.Invalid));
    }

    [TestCase(NbdCommand.Read, 4096u, "reading from file failed")]
    [TestCase(NbdCommand.Read, 1u << 20, "reading from file failed")]
    [TestCase(NbdCommand.Write, 4096u, "writing to file failed")]
    [TestCase(NbdCommand.Write, 1u << 20, "writing to file failed")]
    [TestCase(NbdCommand.WriteZeroes, 4096u, "writing to file failed")]
    [TestCase(NbdCommand.Trim, 4096u, "discard failed")]
    [TestCase(NbdCommand.Flush, 0u, "flush failed")]
    [TestCase(NbdCommand.Cache, 4096u, "caching data failed")]
    [TestCase(NbdCommand.BlockStatus, 4096u, "can't get block status")]
    public void A_failing_medium_is_told_whether_it_fails_at_once_or_later(NbdCommand command, uint length, string message)
    {
        byte[]? payload = command == NbdCommand.Write ? new byte[length] : null;
        _client.Go(NbdMetaContextName.BaseAllocation);
        _host.Node.Errno = Errno.ENOSPC;
        _client.Send(command, 0, length, payload: payload);
        Assert.That(_client.ReadError(), Is.EqualTo(new NbdErrorChunk(1, NbdError.NoSpace, message)));
        _host.Node.CloseGate();
        _client.Send(command, 0, length, payload: payload, cookie: 2);
        NbdHost.Await(() => _host.Node.Waiting == 1, "the request never came");
        _host.Node.OpenGate();
        Assert.That(_client.ReadError(), Is.EqualTo(new NbdErrorChunk(2, NbdError.NoSpace, message)));
    }

    [Test]
    public void A_read_only_export_refuses_every_kind_of_write()
    {
        using var host = new NbdHost(readOnly: true);
        using NbdScriptedClient client = host.Connect().Go();
        Assert.That(client.Export!.Info.Flags, Is.EqualTo((NbdTransmissionFlags)0x058f));
        foreach (NbdCommand command in new[] { NbdCommand.Write, NbdCommand.WriteZeroes, NbdCommand.Trim })
        {
            client.Send(command, 0, 4, payload: command == NbdCommand.Write ? new byte[4] : null);
            Assert.That(client.ReadError(), Is.EqualTo(new NbdErrorChunk(1, NbdError.NotPermitted, "Export is read-only")), $"{command}");
        }
    }

    [Test]
    public void A_write_above_32_MiB_is_refused_and_ends_the_connection()
    {
        _client.Go().Send(NbdCommand.Write, 0, (32u << 20) + 1);
        Assert.That(_client.ReadError().Message, Is.EqualTo("len (33554433) is larger than max len (33554432)"));
        _client.ReadToEnd();
    }

    [Test]
    public void A_wrong_request_magic_ends_the_connection_after_the_replies_before_it()
    {
        _client.Go();
        byte[] bytes = new byte[2 * NbdRequestHeader.Size];
        new NbdRequestHeader(NbdCommandFlags.None, NbdCommand.Flush, 3, 0, 0).Write(bytes);
        _client.Stream.Write(bytes);
        Assert.That(_client.ReadSimple().Cookie, Is.EqualTo(3));
        _client.ReadToEnd();
    }

    [Test]
    public void Disconnect_ends_the_connection_without_a_reply()
    {
        _client.Go().Send(NbdCommand.Disconnect, 0, 0);
        Assert.That(_client.Stream.ReadByte(), Is.EqualTo(-1));
    }

    [Test]
    public void Block_status_reports_allocation_and_dirty_bitmaps()
    {
        using var host = new NbdHost(options: node => new NbdExportOptions
        {
            Id = "id",
            Name = "e",
            Writable = true,
            AllocationDepth = true,
            Bitmaps = [node.Bitmaps.Add("b0", 65536)],
        });
        using NbdScriptedClient client = host.Connect().Go("base:allocation", "qemu:dirty-bitmap:b0", "qemu:allocation-depth");
        client.Send(NbdCommand.Write, 100_000, 70_000, payload: Pattern(70_000, 1));
        client.ReadSimple();

        client.Send(NbdCommand.BlockStatus, 0, 1 << 20);
        (uint context, NbdExtent[] extents, bool done) = client.ReadStatus();
        Assert.That((context, done), Is.EqualTo((0u, false)));
        Assert.That(extents, Is.EqualTo(new NbdExtent[] { new(65536, 3), new(131072, 0), new((1 << 20) - 196608, 3) }));
        (context, extents, done) = client.ReadStatus();
        Assert.That((context, done), Is.EqualTo((1u, false)));
        Assert.That(extents, Is.EqualTo(new NbdExtent[] { new(1 << 20, 1) }));
        (context, extents, done) = client.ReadStatus();
        Assert.That((context, done), Is.EqualTo((2u, true)));
        Assert.That(extents, Is.EqualTo(new NbdExtent[] { new(65536, 0), new(131072, 1), new((1 << 20) - 196608, 0) }));

        client.Send(NbdCommand.BlockStatus, 65536, 1 << 20, NbdCommandFlags.ReqOne);
        Assert.That(client.ReadStatus().Extents, Is.EqualTo(new NbdExtent[] { new(131072, 0) }));
        Assert.That(client.ReadStatus().Extents, Is.EqualTo(new NbdExtent[] { new(1 << 20, 1) }));
        Assert.That(client.ReadStatus().Extents, Is.EqualTo(new NbdExtent[] { new(131072, 1) }));

        client.Send(NbdCommand.BlockStatus, 0, 0);
        Assert.That(client.ReadError().Message, Is.EqualTo("need non-zero length"));
    }

    [TestCase(1, 60)]
    [TestCase(27, 3000)]
    [TestCase(29, 3000)]
    [TestCase(5000, 0)]
    [TestCase(1 << 20, 0)]
    public void Requests_glued_together_are_all_answered_in_any_split(int piece, int splitBytes)
    {
        _client.Go();
        var script = new MemoryStream();
        byte[] header = new byte[NbdRequestHeader.Size];
        const int Count = 200;
        for (uint i = 0; i < Count; i++)
        {
            new NbdRequestHeader(NbdCommandFlags.None, NbdCommand.Write, i, i * 5000, 5000).Write(header);
            script.Write(header);
            script.Write(Pattern(5000, (int)i));
        }

        byte[] bytes = script.ToArray();
        for (int at = 0; at < bytes.Length;)
        {
            int step = Math.Min(at < splitBytes || splitBytes == 0 ? piece : bytes.Length, bytes.Length - at);
            _client.Stream.Write(bytes, at, step);
            at += step;
        }

        for (uint i = 0; i < Count; i++)
        {
            Assert.That(_client.ReadSimple(), Is.EqualTo(new NbdSimpleReply(NbdError.None, i)));
            Assert.That(_host.Node.Bytes.Slice((int)i * 5000, 5000).SequenceEqual(Pattern(5000, (int)i)), Is.True, $"request {i}");
        }
    }

    [Test]
    public void Requests_that_complete_later_reply_in_the_end_with_the_right_bytes()
    {
        _client.Go();
        for (int i = 0; i < 100; i++)
        {
            Pattern(4096, i).CopyTo(_host.Node.Bytes[(i * 4096)..]);
        }

        _host.Node.CloseGate();
        for (int i = 0; i < 100; i++)
        {
            _client.Send(NbdCommand.Read, (ulong)i * 4096, 4096, cookie: (ulong)i);
        }

        NbdHost.Await(() => _host.Node.Waiting == 100, "not all requests were started");
        _host.Node.OpenGate();
        var seen = new HashSet<ulong>();
        for (int i = 0; i < 100; i++)
        {
            (NbdChunkHeader header, byte[] data) = _client.ReadChunk();
            Assert.That(seen.Add(header.Cookie), Is.True);
            Assert.That(data.AsSpan(8).SequenceEqual(Pattern(4096, (int)header.Cookie)), Is.True, $"read {header.Cookie}");
        }
    }

    [Test]
    public void No_more_than_the_limit_are_on_their_way_at_once()
    {
        _client.Go();
        _host.Node.CloseGate();
        for (int i = 0; i < NbdPendingRequests.CountLimit + 50; i++)
        {
            _client.Send(NbdCommand.Write, 0, 1, payload: [1]);
        }

        NbdHost.Await(() => _host.Node.Waiting >= NbdPendingRequests.CountLimit, "the limit was not reached");
        Assert.That(_host.Node.Waiting, Is.LessThanOrEqualTo(NbdPendingRequests.CountLimit + 1));
        _host.Node.OpenGate();
        for (int i = 0; i < NbdPendingRequests.CountLimit + 50; i++)
        {
            Assert.That(_client.ReadSimple().Error, Is.EqualTo(NbdError.None));
        }
    }

    [Test]
    public void A_client_that_does_not_read_gets_its_replies_when_it_does()
    {
        _client.Go();
        byte[] expected = Pattern(1 << 20, 5);
        expected.CopyTo(_host.Node.Bytes);
        _host.Node.CloseGate();
        const int Count = 20;
        for (int i = 0; i < Count; i++)
        {
            _client.Send(NbdCommand.Read, 0, 1 << 20, NbdCommandFlags.DontFragment, cookie: (ulong)i);
        }

        NbdHost.Await(() => _host.Node.Waiting == Count, "not all requests were started");
        _host.Node.OpenGate();
        using NbdScriptedClient other = _host.Connect().Go();
        other.Send(NbdCommand.Flush, 0, 0);
        Assert.That(other.ReadSimple().Error, Is.EqualTo(NbdError.None));
        for (int i = 0; i < Count; i++)
        {
            Assert.That(_client.ReadData(0, 1 << 20).Bytes.AsSpan().SequenceEqual(expected), Is.True, $"read {i}");
        }
    }

    private static byte[] Pattern(int length, int seed)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private void CheckFlags(BlockWriteFlags expected)
    {
        Assert.That(_client.ReadSimple().Error, Is.EqualTo(NbdError.None));
        Assert.That(_host.Node.LastFlags, Is.EqualTo(expected));
    }
}
