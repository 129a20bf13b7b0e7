using Monitor.Block;
using NUnit.Framework;

namespace Unit.Storage;

/// <summary>Changes of the graph begin while requests are inside: they wait for these, keep out what comes, and always end.</summary>
/// <remarks>Requests stay in held nodes until the test lets them go, so what a change must not do before that is seen for certain.</remarks>
public sealed class DrainTests
{
    private const int BlockBytes = 4096;
    private const int Blocks = DrainMachine.SizeBytes / BlockBytes;
    private const int Steps = 20;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private DrainMachine _machine = null!;
    private Random _random = null!;
    private Queue<int> _fresh = [];
    private string _where = "";

    [Test]
    [CancelAfter(120_000)]
    public async Task A_change_waits_for_what_is_inside_and_what_comes_meanwhile_goes_to_the_new_place([Values(1, 2, 3, 4)] int seed)
    {
        _random = new Random(seed);
        using DrainMachine machine = _machine = await DrainMachine.MakeAsync();
        for (int step = 0; step < Steps; step++)
        {
            DrainedChange change = await machine.PrepareAsync(_random);
            _where = $"seed {seed}, step {step}: {change.Name}";
            await StepAsync(change);
        }

        foreach (var (node, content) in machine.Frozen)
        {
            Assert.That((await machine.ContentOfAsync(node)).AsSpan().SequenceEqual(content), $"seed {seed}: {node}, below an overlay");
        }
    }

    private async Task StepAsync(DrainedChange change)
    {
        int[] blocks = [.. Enumerable.Range(0, Blocks)];
        _random.Shuffle(blocks);
        _fresh = new Queue<int>(blocks);
        _machine.Limit(_random.Next(2));
        _machine.Hold.Close();
        int came = _machine.Hold.Came;
        BlockBackend drive = _machine.Drive.Backend;
        List<Task> inside = [.. Begin(drive, _machine.DrivesDisk), .. Begin(_machine.Export, _machine.Disks[0])];

        string before = _machine.Describe();
        Task run = _machine.Loop.RunAsync(change.Run);
        await UntilAsync(() => run.IsCompleted || drive.IsDrained);
        if (!change.Waits)
        {
            _machine.Limit(0);
        }

        await UntilAsync(() => run.IsFaulted || _machine.Hold.Came == came + inside.Count);

        BlockBackend[] closed = [];
        _machine.Turn(() => closed = [.. new[] { drive, _machine.Export }.Where(door => door.IsDrained)]);
        LateWrite[] late = [.. closed.Select(door => LateWrite.Begin(door, _fresh.Dequeue() * BlockBytes, NextBytes()))];
        await SettleAsync();
        Assert.Multiple(() =>
        {
            Assert.That(run.IsCompleted, Is.EqualTo(!change.Waits), $"{_where}: {run.Exception}");
            Assert.That(_machine.Describe(), Is.EqualTo(before), _where);
            Assert.That(_machine.Hold.Came, Is.EqualTo(came + inside.Count), $"{_where}: what comes stays outside");
            Assert.That(inside, Has.None.Property(nameof(Task.IsCompleted)).True, _where);
        });

        _machine.Hold.Open();
        await Task.WhenAll([run, .. inside]).WaitAsync(s_patience);
        await change.AfterAsync();
        _machine.Limit(0);
        foreach (LateWrite write in late)
        {
            await CheckAsync(write, fails: change.TakesMedium && write.Door == drive);
        }

        foreach (DiskTwin disk in _machine.Disks)
        {
            Assert.That((await _machine.ContentOfAsync(disk.Top)).AsSpan().SequenceEqual(disk.Content), $"{_where}: {disk.Top}");
        }
    }

    /// <summary>Begins a few requests of every kind; their ranges are all different ones.</summary>
    private IEnumerable<Task> Begin(BlockBackend door, DiskTwin disk)
    {
        for (int i = 0; i < 4; i++)
        {
            int offset = _fresh.Dequeue() * BlockBytes;
            yield return _random.Next(4) switch
            {
                0 => Zero(door, disk, offset),
                1 => door.FlushAsync().AsTask(),
                2 => ReadAsync(door, [.. disk.Content.AsSpan(offset, BlockBytes)], offset),
                _ => Write(door, disk, offset),
            };
        }
    }

    private static Task Zero(BlockBackend door, DiskTwin disk, int offset)
    {
        disk.Content.AsSpan(offset, BlockBytes).Clear();
        return door.WriteZeroesAsync(offset, BlockBytes).AsTask();
    }

    private Task Write(BlockBackend door, DiskTwin disk, int offset)
    {
        byte[] bytes = NextBytes();
        bytes.CopyTo(disk.Content, offset);
        return door.WriteAsync(offset, bytes).AsTask();
    }

    private async Task ReadAsync(BlockBackend door, byte[] expected, int offset)
    {
        byte[] seen = new byte[BlockBytes];
        await door.ReadAsync(offset, seen);
        Assert.That(seen.AsSpan().SequenceEqual(expected), $"{_where}: read at {offset}");
    }

    private async Task CheckAsync(LateWrite write, bool fails)
    {
        if (fails)
        {
            Assert.That(
                async () => await write.Request.WaitAsync(s_patience),
                Throws.TypeOf<BlockIoException>().With.Property(nameof(BlockIoException.Errno)).EqualTo(Errno.ENOMEDIUM),
                _where);
            return;
        }

        await write.Request.WaitAsync(s_patience);
        DiskTwin disk = write.Door == _machine.Export ? _machine.Disks[0] : _machine.DrivesDisk;
        write.Bytes.CopyTo(disk.Content, write.Offset);
    }

    private byte[] NextBytes()
    {
        byte[] bytes = new byte[BlockBytes];
        _random.NextBytes(bytes);
        return bytes;
    }

    /// <summary>Gives whatever is wrong the time to show.</summary>
    private async Task SettleAsync()
    {
        for (int i = 0; i < 20; i++)
        {
            _machine.Turn(() => { });
            await Task.Yield();
        }
    }

    private async Task UntilAsync(Func<bool> holds)
    {
        for (int i = 0; !holds(); i++)
        {
            Assert.That(i, Is.LessThan(1_000_000), $"{_where}: it never came to hold");
            await Task.Yield();
        }
    }
}
