using Monitor.Block;
using Monitor.Qapi;
using Monitor.Storage;
using Monitor.Storage.Drives;
using NUnit.Framework;
using Unit.Drivers;
using Unit.Jobs;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Storage;

/// <summary>Requests through a drive's door: re-pointed, parked, limited, counted.</summary>
public sealed class DriveTests
{
    private const int SizeBytes = 1 << 20;

    private readonly MonitorLoop _loop = new();
    private readonly ManualTime _time = new();
    private BlockGraph _graph = null!;
    private MachineRunState _runState = null!;
    private DeviceManager _devices = null!;
    private FaultNode _fault = null!;
    private Drive _drive = null!;

    [SetUp]
    public async Task MakeDrive()
    {
        _graph = new BlockGraph(_loop, new DiscardedEvents(), _time);
        _runState = new MachineRunState(_graph.Events);
        _devices = new DeviceManager(new DriveManager(_graph, _runState));
        _fault = new FaultNode();
        Turn(() =>
        {
            var medium = new MemoryNode("medium", SizeBytes);
            _graph.AttachChild(_fault, medium, "file", BlockChildRole.Filtered | BlockChildRole.Primary);
            _graph.Add(medium);
            _graph.Add(_fault);
        });
        await _fault.OpenAsync();
        _drive = await TestMachine.AddDriveAsync(_graph, _devices, _fault);
    }

    [TearDown]
    public Task RemoveDrive() => _loop.RunAsync(async () => await _devices.Drives.CloseAllAsync());

    [OneTimeTearDown]
    public void EndLoop() => _loop.Dispose();

    [Test]
    public async Task Parked_writes_are_all_done_again_at_cont()
    {
        _fault.Errno = Errno.ENOSPC;
        Task[] writes = [.. Enumerable.Range(0, 4).Select(i => WriteAsync(i * 512L, (byte)(i + 1)))];
        await UntilAsync(() => _drive.IoStatus == BlockDeviceIoStatus.Nospace && _runState.State == RunState.IoError);
        Assert.That(writes, Has.All.Property(nameof(Task.IsCompleted)).False);
        Assert.That(_drive.Backend.InFlight, Is.Zero);

        _fault.Errno = 0;
        await UntilAsync(() =>
        {
            Turn(_runState.Continue);
            return Array.TrueForAll(writes, write => write.IsCompleted);
        });

        await Task.WhenAll(writes);
        byte[] content = new byte[2048];
        await _drive.Backend.ReadAsync(0, content);
        Assert.That(Enumerable.Range(0, 4).Select(i => content[i * 512]), Is.EqualTo(new byte[] { 1, 2, 3, 4 }));
        Assert.That((_drive.IoStatus, _runState.State), Is.EqualTo((BlockDeviceIoStatus.Ok, RunState.Running)));
        BlockStatistics counted = _drive.Statistics.Counters;
        Assert.That((counted.Operations(BlockRequestKind.Write), counted.Failed(BlockRequestKind.Write)), Is.EqualTo((4, 0)));
    }

    [Test]
    public async Task A_request_that_is_done_at_once_costs_no_memory()
    {
        var medium = new MemoryNode("plain", SizeBytes);
        Turn(() => _graph.Add(medium));
        await _loop.RunAsync(() => _devices.Drives.RepointAsync(_drive, medium));
        byte[] bytes = new byte[4096];
        Assert.That(Transfer(), Is.EqualTo(200), "all are done at once");
        long before = GC.GetAllocatedBytesForCurrentThread();
        Transfer();
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);

        int Transfer()
        {
            int done = 0;
            for (int i = 0; i < 100; i++)
            {
                done += CountDone(_drive.Backend.WriteAsync(i * bytes.Length, bytes)) + CountDone(_drive.Backend.ReadAsync(i * bytes.Length, bytes));
            }

            return done;
        }

        static int CountDone(ValueTask request) => request.IsCompletedSuccessfully ? 1 : 0;
    }

    [Test]
    public async Task A_parked_write_does_not_keep_the_drive_from_another_node()
    {
        _fault.Errno = Errno.ENOSPC;
        Task write = WriteAsync(0, 9);
        await UntilAsync(() => _runState.State == RunState.IoError);
        var other = new MemoryNode("other", SizeBytes);
        Turn(() => _graph.Add(other));
        await _loop.RunAsync(() => _devices.Drives.RepointAsync(_drive, other));
        Turn(_runState.Continue);
        await write;

        byte[] content = new byte[512];
        await other.ReadAsync(0, content);
        Assert.That(content, Is.All.EqualTo(9));
    }

    [Test]
    public async Task A_parked_write_fails_when_its_sender_goes()
    {
        _fault.Errno = Errno.ENOSPC;
        Task write = WriteAsync(0, 9);
        await UntilAsync(() => _runState.State == RunState.IoError);
        Turn(_drive.BeginLeaving);
        Assert.That(async () => await write, Throws.TypeOf<BlockIoException>().With.Property(nameof(BlockIoException.Errno)).EqualTo(Errno.ENOSPC));
        Assert.That(_drive.Statistics.Counters.Failed(BlockRequestKind.Write), Is.EqualTo(1));
    }

    [Test]
    [CancelAfter(60_000)]
    public async Task A_write_that_fails_while_its_sender_goes_does_not_wait()
    {
        _fault.Errno = Errno.ENOSPC;
        Turn(_drive.BeginLeaving);
        Assert.That(async () => await WriteAsync(0, 9), Throws.TypeOf<BlockIoException>().With.Property(nameof(BlockIoException.Errno)).EqualTo(Errno.ENOSPC));
        Assert.That((_runState.State, _drive.IoStatus), Is.EqualTo((RunState.Running, (BlockDeviceIoStatus?)BlockDeviceIoStatus.Ok)));

        Turn(_drive.EndLeaving);
        Task write = WriteAsync(0, 9);
        await UntilAsync(() => _runState.State == RunState.IoError);
        _fault.Errno = 0;
        Turn(_runState.Continue);
        await write;
    }

    [Test]
    public async Task Writers_lose_nothing_while_the_drive_is_pointed_to_and_fro()
    {
        FaultNode filter = await AddFilterAsync();
        using var stop = new CancellationTokenSource();
        byte[] twin = new byte[SizeBytes];
        Task[] guests = [GuestAsync(twin, 0, stop.Token), GuestAsync(twin, 1, stop.Token)];
        for (int i = 0; i < 50; i++)
        {
            BlockNode to = i % 2 == 0 ? filter : _fault;
            await _loop.RunAsync(() => _devices.Drives.RepointAsync(_drive, to));
            Assert.That(_drive.Backend.Node, Is.SameAs(to));
            await Task.Yield();
        }

        await stop.CancelAsync();
        await Task.WhenAll(guests);
        byte[] content = new byte[SizeBytes];
        await _drive.Backend.ReadAsync(0, content);
        Assert.That(content.AsSpan().SequenceEqual(twin));
    }

    [Test]
    public async Task A_refused_node_leaves_the_drive_where_it_was()
    {
        var taken = new MemoryNode("taken", SizeBytes);
        var door = new BlockBackend();
        Turn(() =>
        {
            _graph.Add(taken);
            _graph.AttachRoot(door, taken, BlockPermission.Write, BlockPermission.ConsistentRead);
        });
        Assert.That(async () => await _loop.RunAsync(() => _devices.Drives.RepointAsync(_drive, taken)), Throws.TypeOf<QmpException>());
        Assert.That(_drive.Backend.Node, Is.SameAs(_fault));
        await WriteAsync(0, 1);
        await _loop.RunAsync(async () => await _graph.DetachRootAsync(door));
    }

    [Test]
    public async Task Limits_hold_on_the_clock_and_end_when_taken_away()
    {
        Turn(() => _devices.Drives.SetLimits(_drive, Limits(iops: 10), null, "disk"));
        Task[] writes = [.. Enumerable.Range(0, 32).Select(i => WriteAsync(0, (byte)i))];
        int atOnce = writes.Count(write => write.IsCompleted);
        Assert.That(atOnce, Is.EqualTo(2));
        for (int i = 0; i < 1000; i++)
        {
            _time.Advance(TimeSpan.FromMilliseconds(1));
        }

        await UntilAsync(() => writes.Count(write => write.IsCompleted) == 12);

        Turn(() => _devices.Drives.SetLimits(_drive, Limits(iops: 0), null, "disk"));
        await Task.WhenAll(writes);
        Assert.That((_drive.Throttle, _graph.ThrottleGroups.Find("disk")), Is.EqualTo(((object?)null, (object?)null)));
    }

    [Test]
    public async Task A_drive_that_changes_its_group_takes_its_waiting_requests_out()
    {
        Turn(() => _devices.Drives.SetLimits(_drive, Limits(iops: 1), null, "disk"));
        Task[] writes = [.. Enumerable.Range(0, 8).Select(i => WriteAsync(0, (byte)i))];
        Turn(() => _devices.Drives.SetLimits(_drive, Limits(iops: 1000), "shared", "disk"));
        await Task.WhenAll(writes);
        Assert.That(_drive.Throttle!.Group.Name, Is.EqualTo("shared"));
        Assert.That(_graph.ThrottleGroups.Find("disk"), Is.Null);
    }

    [Test]
    public async Task Refused_requests_are_counted_apart_and_stop_nothing()
    {
        _drive.WriteErrorPolicy = BlockdevOnError.Stop;
        Assert.That(async () => await _drive.Backend.WriteAsync(SizeBytes, new byte[512]), Throws.TypeOf<BlockIoException>());
        await WriteAsync(0, 1);
        BlockStatistics counted = _drive.Statistics.Counters;
        Assert.That((counted.Invalid(BlockRequestKind.Write), counted.Operations(BlockRequestKind.Write), _runState.IsRunning), Is.EqualTo((1, 1, true)));
    }

    private static Monitor.Block.Throttling.ThrottleConfiguration Limits(long iops)
    {
        long[] values = Monitor.Block.Throttling.ThrottleConfiguration.Unlimited.Values.ToArray();
        values[Monitor.Block.Throttling.ThrottleConfiguration.IndexOf("iops-total")] = iops;
        return new Monitor.Block.Throttling.ThrottleConfiguration(values);
    }

    private static async Task UntilAsync(Func<bool> holds)
    {
        for (int i = 0; !holds(); i++)
        {
            Assert.That(i, Is.LessThan(1_000_000), "it never came to hold");
            await Task.Yield();
        }
    }

    private async Task<FaultNode> AddFilterAsync()
    {
        var filter = new FaultNode("filter");
        Turn(() =>
        {
            _graph.AttachChild(filter, _fault, "file", BlockChildRole.Filtered | BlockChildRole.Primary);
            _graph.Add(filter);
        });
        await filter.OpenAsync();

        // Somebody else wants it too, so it stays when the drive leaves it.
        Turn(() => _graph.AttachRoot(new BlockBackend(), filter, BlockPermission.None, BlockPermission.All));
        return filter;
    }

    /// <summary>Writes to every second sector, each time another byte, and keeps the same in the twin.</summary>
    private async Task GuestAsync(byte[] twin, int first, CancellationToken stop)
    {
        await Task.Yield();
        for (int i = first; !stop.IsCancellationRequested; i += 2)
        {
            int offset = i * 512 % SizeBytes;
            byte value = (byte)(i / 3);
            await _drive.Backend.WriteAsync(offset, Enumerable.Repeat(value, 512).ToArray());
            twin.AsSpan(offset, 512).Fill(value);
            if (i % 64 == first)
            {
                await Task.Yield();
            }
        }
    }

    private Task WriteAsync(long offset, byte value) => _drive.Backend.WriteAsync(offset, Enumerable.Repeat(value, 512).ToArray()).AsTask();

    private void Turn(Action action) => _loop.Run(static a => a(), action);
}
