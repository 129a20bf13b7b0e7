using System.Text;
using Monitor.Block;
using Monitor.Block.Drivers.Quorum;
using Monitor.Qapi;
using NUnit.Framework;
using Unit.Jobs;
using Unit.Nbd;

namespace Unit.Drivers;

/// <summary>Copies that agree, disagree and fail.</summary>
public sealed class QuorumNodeTests : DriverContract
{
    private const int Copies = 3;

    private MemoryNode[] _copies = [];
    private RecordedEvents _events = null!;

    protected override bool CanResize => false;

    [Test]
    public async Task What_most_copies_hold_is_read_and_the_other_copy_is_named()
    {
        BlockNode node = await OpenAsync();
        await node.WriteAsync(0, Filled(1024, 1));
        _copies[1].Bytes[600] = 9;

        byte[] read = new byte[1024];
        await node.ReadAsync(0, read);

        Assert.That(HoldsOnly(read, 1));
        Assert.That(_events.Short(), Is.EqualTo(new[] { "QUORUM_REPORT_BAD" }));
        Assert.That(_copies[1].Bytes[600], Is.EqualTo(9), "nobody asked to mend it");
    }

    [Test]
    public async Task With_rewrite_corrupted_the_copy_that_lost_is_mended()
    {
        BlockNode node = await OpenAsync(rewrite: true);
        await node.WriteAsync(0, Filled(1024, 1));
        _copies[2].Bytes[600] = 9;

        await node.ReadAsync(0, new byte[1024]);

        Assert.That(_copies[2].Bytes[600], Is.EqualTo(1));
    }

    [Test]
    public async Task Without_enough_votes_the_read_fails()
    {
        BlockNode node = await OpenAsync();
        _copies[1].Bytes[600] = 9;
        _copies[2].Bytes[600] = 8;

        Assert.That(async () => await node.ReadAsync(512, new byte[512]), Fails(Errno.EIO));
        Assert.That(_events.Short(), Is.EqualTo(new[] { "QUORUM_FAILURE" }));
    }

    [Test]
    public async Task One_copy_may_fail_and_two_may_not()
    {
        BlockNode node = await OpenAsync();
        _copies[0].Errno = Errno.ENOSPC;
        await node.WriteAsync(0, Filled(512, 1));
        await node.FlushAsync();
        byte[] read = new byte[512];
        await node.ReadAsync(0, read);
        Assert.That(HoldsOnly(read, 1));
        Assert.That(_events.Short(), Is.EqualTo(new[] { "QUORUM_REPORT_BAD", "QUORUM_REPORT_BAD", "QUORUM_REPORT_BAD" }));

        _copies[1].Errno = Errno.ENOSPC;
        Assert.That(async () => await node.WriteAsync(0, Filled(512, 1)), Fails(Errno.ENOSPC));
        Assert.That(async () => await node.ReadAsync(0, new byte[512]), Fails(Errno.ENOSPC));
        Assert.That(async () => await node.FlushAsync(), Fails(Errno.ENOSPC));
    }

    [Test]
    public async Task Fifo_reads_the_first_copy_that_can_be_read()
    {
        BlockNode node = await OpenAsync(pattern: QuorumReadPattern.Fifo);
        _copies[0].Errno = Errno.EIO;
        _copies[1].Bytes[0] = 5;
        byte[] read = new byte[1];
        await node.ReadAsync(0, read);
        Assert.That(read[0], Is.EqualTo(5));
    }

    protected override ValueTask<BlockNode> OpenAsync(BlockNodeSettings settings) => OpenAsync(settings, false, null);

    private ValueTask<BlockNode> OpenAsync(bool rewrite = false, QuorumReadPattern? pattern = null) => OpenAsync(Settings(), rewrite, pattern);

    private async ValueTask<BlockNode> OpenAsync(BlockNodeSettings settings, bool rewrite, QuorumReadPattern? pattern)
    {
        _events = new RecordedEvents();
        _copies = [.. Enumerable.Range(0, Copies).Select(_ => new MemoryNode(SizeBytes))];
        var options = new BlockdevOptionsQuorum
        {
            Children = [.. _copies.Select(_ => new BlockdevRef { Reference = "memory" })],
            VoteThreshold = 2,
            RewriteCorrupted = rewrite,
            ReadPattern = pattern,
        };
        var node = new QuorumNode(settings, options, _events);
        for (int i = 0; i < Copies; i++)
        {
            Graph.Attach(node, _copies[i], QuorumNode.ChildName(i), BlockChildRole.Data);
        }

        await node.OpenAsync();
        return node;
    }
}
