using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage;
using Monitor.Storage.Commands;
using Monitor.Storage.Exports;
using Monitor.Storage.Objects;
using NUnit.Framework;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Storage;

/// <summary>The commands that edit the graph, with a guest that goes on writing.</summary>
public sealed class GraphEditTests
{
    private const int SizeBytes = 1 << 20;

    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"unit-{Guid.NewGuid():N}");
    private MonitorLoop _loop = null!;
    private BlockGraph _graph = null!;
    private BlockNodeCommands _nodes = null!;
    private TransactionCommands _transactions = null!;

    [SetUp]
    public async Task MakeDisk()
    {
        Directory.CreateDirectory(_folder);
        _loop = new MonitorLoop();
        _graph = new BlockGraph(_loop, new DiscardedEvents());
        var jobs = new JobManager(_graph);
        var objects = new ObjectStore(_graph.ThrottleGroups);
        DaemonLifetime lifetime = TestMachine.LifetimeOf(_graph, jobs);
        _nodes = new BlockNodeCommands(jobs, objects, lifetime, TestMachine.DrivesOf(_graph));
        _transactions = new TransactionCommands(jobs, lifetime);
        await CreateAsync("disk");
        await AddAsync(Disk());
    }

    [TearDown]
    public async Task RemoveDisk()
    {
        await _loop.RunAsync(async () => await _graph.CloseAllAsync());
        _loop.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Test]
    [CancelAfter(120_000)]
    public async Task A_guest_loses_nothing_while_its_graph_is_edited_at_random([Values(1, 2, 3)] int seed)
    {
        using var stop = new CancellationTokenSource();
        BlockBackend door = await AttachAsync(BlockPermission.ConsistentRead | BlockPermission.Write);
        byte[] twin = new byte[SizeBytes];
        Task[] guests = [GuestAsync(door, twin, 0, stop.Token), GuestAsync(door, twin, 1, stop.Token)];
        var random = new Random(seed);
        var chain = new List<string> { "disk" };
        var others = new List<string>();
        for (int i = 0; i < 24; i++)
        {
            await EditAsync(random, i, chain, others, $"seed {seed}, step {i}");
            Assert.That(ChainOf(door.Node), Is.EqualTo(chain.AsEnumerable().Reverse()), $"seed {seed}, step {i}");
        }

        await stop.CancelAsync();
        await Task.WhenAll(guests);
        byte[] content = new byte[SizeBytes];
        await door.ReadAsync(0, content);
        Assert.That(content.AsSpan().SequenceEqual(twin), $"seed {seed}");
        Assert.That(_graph.Nodes.Where(n => n.NodeName.StartsWith('x')).Select(n => n.NodeName), Is.EquivalentTo(others));
        await DetachAsync(door);
    }

    [Test]
    public async Task A_snapshot_freezes_the_node_and_its_bitmaps_and_gives_its_users_the_overlay()
    {
        BlockBackend door = await AttachAsync(BlockPermission.ConsistentRead | BlockPermission.Write);
        BlockNode disk = door.Node;
        DirtyBitmap bitmap = disk.Bitmaps.Add("b", 65536, persistent: true);
        await door.WriteAsync(0, Filled(1000, 1));
        await RunAsync(Snapshot("disk", "top"));
        await door.WriteAsync(500, Filled(1000, 2));

        byte[] below = new byte[1000];
        await disk.ReadAsync(0, below);
        byte[] above = new byte[1500];
        await door.ReadAsync(0, above);
        Assert.Multiple(() =>
        {
            Assert.That(below, Is.All.EqualTo(1));
            Assert.That(above, Is.EqualTo(Filled(500, 1).Concat(Filled(1000, 2))));
            Assert.That(door.Node.NodeName, Is.EqualTo("top"));
            Assert.That(door.Node.Backing!.Node, Is.SameAs(disk));
            Assert.That(disk.IsReadOnly);
            Assert.That(bitmap.IsReadOnly);
            Assert.That(disk.Bitmaps.List()[0].CountBytes, Is.EqualTo(65536));
            Assert.That(door.Node.Bitmaps.List(), Is.Empty);
        });
        await DetachAsync(door);
    }

    [Test]
    public async Task A_bitmap_keeps_every_write_through_read_only_and_back()
    {
        BlockBackend door = await AttachAsync(BlockPermission.ConsistentRead);
        DirtyBitmap bitmap = door.Node.Bitmaps.Add("b", 65536, persistent: true);
        await door.Node.WriteAsync(0, Filled(1, 1));
        await ReopenAsync(Disk("'read-only': true"));
        Assert.That(bitmap.IsReadOnly);
        Assert.That(_graph.Get("file").IsReadOnly);

        await ReopenAsync(Disk());
        await door.Node.WriteAsync(131072, Filled(1, 1));
        Assert.That(door.Node.Bitmaps.List()[0].CountBytes, Is.EqualTo(2 * 65536));
        await DetachAsync(door);

        await DeleteAsync("disk");
        await AddAsync(Disk("'read-only': true"));
        DirtyBitmapInfo stored = _graph.Get("disk").Bitmaps.List()[0];
        Assert.That(stored.Inconsistent, Is.False);
        Assert.That(stored.CountBytes, Is.EqualTo(2 * 65536));
    }

    [Test]
    public async Task A_refused_reopen_of_several_nodes_changes_none()
    {
        await AddAsync("{'driver': 'null-co', 'node-name': 'n'}");
        BlockBackend door = await AttachAsync(BlockPermission.ConsistentRead | BlockPermission.Write);
        DirtyBitmap bitmap = door.Node.Bitmaps.Add("b", 65536, persistent: true);
        BlockNodeSettings settings = door.Node.Settings;

        string refusal = await RefusalAsync(() => ReopenAsync("{'driver': 'null-co', 'node-name': 'n', 'read-only': true}", Disk("'read-only': true, 'detect-zeroes': 'on'")));

        await door.WriteAsync(0, Filled(1, 1));
        Assert.Multiple(() =>
        {
            Assert.That(refusal, Is.EqualTo("Read-only block node 'disk' cannot support read-write users"));
            Assert.That(_graph.Get("n").IsReadOnly, Is.False);
            Assert.That(door.Node.Settings, Is.EqualTo(settings));
            Assert.That(_graph.Get("file").IsReadOnly, Is.False);
            Assert.That(bitmap.IsReadOnly, Is.False);
            Assert.That(door.Node.Bitmaps.List()[0].CountBytes, Is.EqualTo(65536));
        });
        await DetachAsync(door);
    }

    [Test]
    public async Task A_backing_node_can_be_put_in_and_taken_out()
    {
        await AddAsync("{'driver': 'null-co', 'node-name': 'n', 'read-zeroes': true}");
        await ReopenAsync(Disk("'backing': 'n'"));
        Assert.That(_graph.Get("disk").Backing?.Node.NodeName, Is.EqualTo("n"));
        Assert.That(_graph.Get("disk").FileName, Does.StartWith("json:{\"backing\": {\"read-zeroes\": true, \"driver\": \"null-co\""));

        await ReopenAsync(Disk("'backing': null"));
        Assert.That(_graph.Get("disk").Backing, Is.Null);
        Assert.That(_graph.Get("n").Parents, Is.Empty);
    }

    [Test]
    public async Task A_resized_disk_reads_zeroes_behind_its_old_end_and_its_bitmaps_follow([Values(true, false)] bool persistent)
    {
        BlockNode disk = _graph.Get("disk");
        disk.Bitmaps.Add("b", 65536, persistent);
        await disk.WriteAsync(SizeBytes - 10, Filled(10, 7));
        await ResizeAsync(SizeBytes / 2);
        await ResizeAsync(4 * SizeBytes);
        byte[] content = Filled(4 * SizeBytes, 9);
        await disk.ReadAsync(0, content);
        Assert.That(content, Is.All.Zero);
        Assert.That(disk.Bitmaps.SizeBytes, Is.EqualTo(4 * SizeBytes));
        await disk.WriteAsync((4 * SizeBytes) - 1, Filled(1, 1));
        Assert.That(disk.Bitmaps.List()[0].CountBytes, Is.EqualTo(65536));

        await DeleteAsync("disk");
        await AddAsync(Disk());
        Assert.That(_graph.Get("disk").SizeBytes, Is.EqualTo(4 * SizeBytes));
        Assert.That(_graph.Get("disk").Bitmaps.List().Select(b => b.CountBytes), Is.EqualTo(persistent ? [65536L] : Array.Empty<long>()));
    }

    /// <summary>One edit, refused or not, and what it does to the model: the names from the disk up to the guest, and the nodes beside them.</summary>
    private async Task EditAsync(Random random, int step, List<string> chain, List<string> others, string where)
    {
        string top = chain[^1];
        switch (random.Next(8))
        {
            case 0:
                await RunAsync(Snapshot(top, $"o{step}"));
                chain.Add($"o{step}");
                break;
            case 1:
                string refusal = await RefusalAsync(() => RunAsync(Snapshot(top, $"o{step}"), new TransactionAction { Type = TransactionActionKind.Abort, Branch = new AbortWrapper { Data = new Abort() } }));
                Assert.That(refusal, Does.Contain("Abort"), where);
                break;
            case 2 when _graph.Get(top).IsFilter:
                await PointAsync(top, chain[^2]);
                await DeleteAsync(top);
                chain.RemoveAt(chain.Count - 1);
                break;
            case 2 or 3:
                await AddAsync($"{{'driver': 'copy-on-read', 'node-name': 'f{step}', 'discard': 'unmap', 'file': '{top}'}}");
                await PointAsync(top, $"f{step}");
                chain.Add($"f{step}");
                break;
            case 4:
                await AddAsync($"{{'driver': 'null-co', 'node-name': 'x{step}'}}");
                others.Add($"x{step}");
                break;
            case 5:
                Assert.That(await RefusalAsync(() => DeleteAsync(top)), Is.Not.Empty, where);
                if (others.Count > 0)
                {
                    await DeleteAsync(others[0]);
                    others.RemoveAt(0);
                }

                break;
            case 6 when !_graph.Get(top).IsFilter:
                await ResizeAsync(top, _graph.Get(top).SizeBytes + 65536);
                break;
            default:
                await ReopenAsync(Options(chain.FindLast(name => !_graph.Get(name).IsFilter)!, random));
                break;
        }
    }

    private static List<string> ChainOf(BlockNode top)
    {
        var names = new List<string>();
        for (BlockNode? node = top; node is not null; node = node.FindChild(BlockChildRole.CopyOnWrite | BlockChildRole.Filtered)?.Node)
        {
            names.Add(node.NodeName);
        }

        return names;
    }

    /// <summary>Gives the users of a node another one, as a re-pointed drive does.</summary>
    private Task PointAsync(string from, string to) => _loop.RunAsync(async () =>
    {
        using GraphChange change = await _graph.ChangeAsync();
        using DrainedSection section = await _graph.DrainAsync(_graph.Get(from), _graph.Get(to));
        _graph.MoveParents(_graph.Get(from), _graph.Get(to), edge => edge.Parent is BlockBackend);
    });

    private static byte[] Filled(int length, byte value)
    {
        byte[] bytes = new byte[length];
        bytes.AsSpan().Fill(value);
        return bytes;
    }

    private static async Task GuestAsync(BlockBackend door, byte[] twin, int half, CancellationToken stop)
    {
        await Task.Yield();
        var random = new Random(half);
        while (!stop.IsCancellationRequested)
        {
            int length = random.Next(1, 5000);
            int offset = (half * (SizeBytes / 2)) + random.Next((SizeBytes / 2) - length);
            random.NextBytes(twin.AsSpan(offset, length));
            await door.WriteAsync(offset, twin.AsMemory(offset, length));
            byte[] seen = new byte[length];
            await door.ReadAsync(offset, seen);
            Assert.That(seen.AsSpan().SequenceEqual(twin.AsSpan(offset, length)), $"at {offset}");
        }
    }

    private string Disk(string more = "") =>
        $"{{'driver': 'qcow2', 'node-name': 'disk', {more}{(more.Length > 0 ? ", " : "")}'file': {{'driver': 'file', 'node-name': 'file', 'filename': '{_folder}/disk'}}}}";

    /// <summary>The top node's options with some of those that change nothing of its content.</summary>
    private string Options(string top, Random random)
    {
        BlockNode node = _graph.Get(top);
        string file = node.FindChild(BlockChildRole.Primary)!.Node.NodeName;
        string backing = node.Backing is { } edge ? $"'backing': '{edge.Node.NodeName}', " : "";
        string detect = new[] { "off", "on", "unmap" }[random.Next(3)];
        return $"{{'driver': 'qcow2', 'node-name': '{top}', {backing}'discard': 'unmap', 'detect-zeroes': '{detect}', 'cache': {{'no-flush': {(random.Next(2) == 0 ? "true" : "false")}}}, 'file': '{file}'}}";
    }

    private TransactionAction Snapshot(string node, string overlay) => new()
    {
        Type = TransactionActionKind.BlockdevSnapshotSync,
        Branch = new BlockdevSnapshotSyncWrapper
        {
            Data = new BlockdevSnapshotSync { NodeName = node, SnapshotFile = $"{_folder}/{overlay}", SnapshotNodeName = overlay },
        },
    };

    private async Task CreateAsync(string name)
    {
        string path = $"{_folder}/{name}";
        string create = $"{{'driver': 'qcow2', 'size': {SizeBytes}, 'file': {{'driver': 'file', 'filename': '{path}'}}}}";
        await File.WriteAllBytesAsync(path, []);
        await _loop.RunAsync(() => Monitor.Storage.Images.ImageCreation.CreateAsync(_graph, BlockdevCreateOptions.Read(QmpInputVisitor.Parse(create), null)));
    }

    private Task AddAsync(string options) => _loop.RunAsync(async () => await _nodes.BlockdevAddAsync(Parse(options)));

    private Task DeleteAsync(string node) => _loop.RunAsync(async () => await _nodes.BlockdevDelAsync(new BlockdevDelArguments { NodeName = node }));

    private Task ReopenAsync(params string[] options) =>
        _loop.RunAsync(async () => await _nodes.BlockdevReopenAsync(new BlockdevReopenArguments { Options = [.. options.Select(Parse)] }));

    private Task ResizeAsync(long size) => ResizeAsync("disk", size);

    private Task ResizeAsync(string node, long size) =>
        _loop.RunAsync(async () => await _nodes.BlockResizeAsync(new BlockResizeArguments { NodeName = node, Size = size }));

    private Task RunAsync(params TransactionAction[] actions) => _loop.RunAsync(async () =>
    {
        if (actions.Length == 1)
        {
            await _transactions.RunActionAsync(actions[0]);
        }
        else
        {
            await _transactions.TransactionAsync(new TransactionArguments { Actions = actions });
        }
    });

    private static async Task<string> RefusalAsync(Func<Task> command)
    {
        try
        {
            await command();
            return "";
        }
        catch (QmpException e)
        {
            return e.Message;
        }
    }

    private static BlockdevOptions Parse(string options) => BlockdevOptions.Read(QmpInputVisitor.Parse(options), null);

    private async Task<BlockBackend> AttachAsync(BlockPermission used)
    {
        var door = new BlockBackend();
        await _loop.RunAsync(async () =>
        {
            using GraphChange change = await _graph.ChangeAsync();
            _graph.AttachRoot(door, _graph.Get("disk"), used, BlockPermission.All);
        });
        return door;
    }

    private Task DetachAsync(BlockBackend door) => _loop.RunAsync(async () => await _graph.DetachRootAsync(door));
}
