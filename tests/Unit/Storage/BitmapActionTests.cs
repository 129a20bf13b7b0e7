using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage;
using Monitor.Storage.Commands;
using Monitor.Storage.Exports;
using Monitor.Storage.Objects;
using NUnit.Framework;

namespace Unit.Storage;

public sealed class BitmapActionTests
{
    private MonitorLoop _loop = null!;
    private BlockGraph _graph = null!;
    private MemoryNode _node = null!;

    [SetUp]
    public async Task MakeNode()
    {
        _loop = new MonitorLoop();
        _graph = new BlockGraph(_loop, new DiscardedEvents());
        _node = new MemoryNode("n", 1 << 20);
        await _loop.RunAsync(() =>
        {
            _graph.Add(_node);
            return Task.CompletedTask;
        });
    }

    [TearDown]
    public void EndLoop() => _loop.Dispose();

    [Test]
    public async Task A_checkpoint_moves_the_writes_from_one_bitmap_to_the_next()
    {
        await RunAsync(Add("b0"));
        await WriteAsync(0);
        await RunAsync(Disable("b0"), Add("b1"));
        await WriteAsync(65536);
        Assert.Multiple(() =>
        {
            Assert.That(Dirty("b0"), Is.EqualTo([0L]));
            Assert.That(Dirty("b1"), Is.EqualTo([65536L]));
        });
    }

    [Test]
    public async Task An_aborted_transaction_leaves_every_bitmap_as_it_was()
    {
        await RunAsync(Add("b0"));
        await RunAsync(Add("b1"));
        await WriteAsync(0);
        await RunAsync(Disable("b0"));
        await WriteAsync(65536);
        string before = Describe();

        await Assert.ThrowsAsync<QmpException>(
            () => RunAsync(
                Enable("b0"), Clear("b1"), Merge("b0", "b1"), Fill("b0"), Disable("b1"), Add("b2"), Populate("b0"), Remove("b1"), Abort()));

        Assert.That(Describe(), Is.EqualTo(before));
    }

    [Test]
    public async Task Whatever_a_transaction_did_before_it_failed_is_undone([Values(1, 2, 3)] int seed)
    {
        var random = new Random(seed);
        foreach (string name in (string[])["b0", "b1", "b2"])
            await RunAsync(Add(name));
        for (int round = 0; round < 60; round++)
        {
            await WriteAsync(random.Next(16) * 65536);
            await RunAsync(random.Next(2) == 0 ? Disable("b1") : Clear("b2"));
            string before = Describe();
            TransactionAction[] actions = [.. Enumerable.Range(0, random.Next(1, 8)).Select(_ => AnyAction(random)), Abort()];
            await Assert.ThrowsAsync<QmpException>(() => RunAsync(actions));
            Assert.That(Describe(), Is.EqualTo(before), $"seed {seed} round {round}: {string.Join(", ", actions.Select(action => action.Type))}");
            await RunAsync(Enable("b1"));
        }
    }

    [Test]
    public async Task A_refused_enable_of_a_busy_bitmap_does_not_stop_it_from_recording()
    {
        await RunAsync(Add("b0"));
        _node.Bitmaps.SetBusy(_node.Bitmaps.Find("b0"));
        await Assert.ThrowsAsync<QmpException>(() => RunAsync(Add("b1"), Enable("b0")));
        Assert.That(_node.Bitmaps.Find("b0").IsRecording, Is.True);
    }

    [Test]
    public async Task A_removed_bitmap_keeps_its_name_until_the_transaction_is_over()
    {
        await RunAsync(Add("b0"));
        var e = await Assert.ThrowsAsync<QmpException>(() => RunAsync(Remove("b0"), Add("b0")));
        Assert.That(e!.Message, Is.EqualTo("Bitmap already exists: b0"));
    }

    [Test]
    public async Task A_bitmap_being_removed_takes_part_in_nothing_else()
    {
        await RunAsync(Add("b0"));
        var e = await Assert.ThrowsAsync<QmpException>(() => RunAsync(Remove("b0"), Clear("b0")));
        Assert.That(e!.Message, Is.EqualTo("Bitmap 'b0' is currently in use by another operation and cannot be used"));
    }

    [Test]
    public async Task A_merge_takes_bitmaps_of_other_nodes()
    {
        var other = new MemoryNode("m", 1 << 20);
        await _loop.RunAsync(() =>
        {
            _graph.Add(other);
            return Task.CompletedTask;
        });
        await RunAsync(Add("b0"));
        await RunAsync(Add("b0", node: "m"));
        await WriteAsync(131072);
        await RunAsync(Merge("b0", new BlockDirtyBitmap { Node = "n", Name = "b0" }, node: "m"));
        Assert.That(Dirty("b0", other), Is.EqualTo([131072L]));
    }

    [TestCase("x", "b0", "Node 'x' not found")]
    [TestCase("n", "x", "Dirty bitmap 'x' not found")]
    public async Task What_does_not_exist_is_named(string node, string name, string error)
    {
        await RunAsync(Add("b0"));
        var e = await Assert.ThrowsAsync<QmpException>(() => RunAsync(Clear(name, node)));
        Assert.That(e!.Message, Is.EqualTo(error));
    }

    [Test]
    public async Task A_bitmap_is_added_to_a_device_or_a_node()
    {
        var e = await Assert.ThrowsAsync<QmpException>(() => RunAsync(Add("b0", node: "x")));
        Assert.That(e!.Message, Is.EqualTo("Cannot find device='x' nor node-name='x'"));
    }

    private static TransactionAction AnyAction(Random random)
    {
        string name = $"b{random.Next(3)}";
        return random.Next(7) switch
        {
            0 => Enable(name),
            1 => Disable(name),
            2 => Clear(name),
            3 => Fill(name),
            4 => Merge(name, $"b{random.Next(3)}"),
            5 => Remove(name),
            _ => Add($"b{random.Next(2, 5)}"),
        };
    }

    private static TransactionAction Add(string name, string node = "n") => new()
    {
        Type = TransactionActionKind.BlockDirtyBitmapAdd,
        Branch = new BlockDirtyBitmapAddWrapper { Data = new BlockDirtyBitmapAdd { Node = node, Name = name } },
    };

    private static TransactionAction Enable(string name) => On(TransactionActionKind.BlockDirtyBitmapEnable, name, "n");

    private static TransactionAction Disable(string name) => On(TransactionActionKind.BlockDirtyBitmapDisable, name, "n");

    private static TransactionAction Remove(string name) => On(TransactionActionKind.BlockDirtyBitmapRemove, name, "n");

    private static TransactionAction Fill(string name) => On(TransactionActionKind.BlockDirtyBitmapFill, name, "n");

    private static TransactionAction Populate(string name) => new()
    {
        Type = TransactionActionKind.BlockDirtyBitmapPopulate,
        Branch = new BlockDirtyBitmapPopulateWrapper
        {
            Data = new BlockDirtyBitmapPopulate { JobId = "p", Node = "n", Name = name, Pattern = BitmapPattern.AllocationTop },
        },
    };

    private static TransactionAction Clear(string name, string node = "n") => On(TransactionActionKind.BlockDirtyBitmapClear, name, node);

    private static TransactionAction Merge(string target, string source) => Merge(target, new BlockDirtyBitmapOrStr { Local = source }, "n");

    private static TransactionAction Merge(string target, BlockDirtyBitmap source, string node) =>
        Merge(target, new BlockDirtyBitmapOrStr { External = source }, node);

    private static TransactionAction Merge(string target, BlockDirtyBitmapOrStr source, string node) => new()
    {
        Type = TransactionActionKind.BlockDirtyBitmapMerge,
        Branch = new BlockDirtyBitmapMergeWrapper { Data = new BlockDirtyBitmapMerge { Node = node, Target = target, Bitmaps = [source] } },
    };

    private static TransactionAction Abort() => new() { Type = TransactionActionKind.Abort, Branch = new AbortWrapper { Data = new Abort() } };

    private static TransactionAction On(TransactionActionKind kind, string name, string node) =>
        new() { Type = kind, Branch = new BlockDirtyBitmapWrapper { Data = new BlockDirtyBitmap { Node = node, Name = name } } };

    private Task RunAsync(params TransactionAction[] actions)
    {
        var jobs = new JobManager(_graph);
        var commands = new TransactionCommands(jobs, TestMachine.LifetimeOf(_graph, jobs));
        return _loop.RunAsync(async () =>
        {
            if (actions.Length == 1)
            {
                await commands.RunActionAsync(actions[0]);
            }
            else
            {
                await commands.TransactionAsync(new TransactionArguments { Actions = actions });
            }
        });
    }

    private async Task WriteAsync(long offset) => await _node.WriteAsync(offset, new byte[1]);

    private List<long> Dirty(string name, BlockNode? node = null)
    {
        NodeBitmaps bitmaps = (node ?? _node).Bitmaps;
        DirtyBitmap bitmap = bitmaps.Find(name);
        var found = new List<long>();
        for (long start = 0; bitmaps.NextDirtyArea(bitmap, start, 1 << 20, bitmap.Granularity, out long offset, out long length);)
        {
            found.Add(offset);
            start = offset + length;
        }

        return found;
    }

    private string Describe() =>
        string.Join("; ", _node.Bitmaps.List().Select(bitmap => $"{bitmap} {string.Join(',', Dirty(bitmap.Name!))}"));
}
