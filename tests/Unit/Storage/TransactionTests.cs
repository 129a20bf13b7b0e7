using Monitor.Block;
using Monitor.Qapi;
using Monitor.Storage.Transactions;
using NUnit.Framework;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Storage;

public sealed class TransactionTests
{
    private readonly List<string> _calls = [];
    private MonitorLoop _loop = null!;
    private BlockGraph _graph = null!;

    [SetUp]
    public void MakeGraph()
    {
        _loop = new MonitorLoop();
        _graph = new BlockGraph(_loop, new DiscardedEvents());
        _calls.Clear();
    }

    [TearDown]
    public void EndLoop() => _loop.Dispose();

    [Test]
    public async Task Every_phase_is_done_for_all_steps_before_the_next()
    {
        await RunAsync(Step("a"), Step("b"));
        Assert.That(_calls, Is.EqualTo(Words("open a, open b, prepare a, prepare b, commit a, commit b, proceed a, proceed b, clean a, clean b")));
    }

    [Test]
    public async Task A_refused_prepare_aborts_the_prepared_in_reverse_and_undoes_every_open()
    {
        var e = await Assert.ThrowsAsync<QmpException>(() => RunAsync(Step("a"), Step("b"), Step("c", fails: "prepare"), Step("d")));
        Assert.Multiple(() =>
        {
            Assert.That(e!.Message, Is.EqualTo("c refuses"));
            Assert.That(
                _calls,
                Is.EqualTo(Words("open a, open b, open c, open d, prepare a, prepare b, abort b, abort a, undo d, undo c, undo b, undo a")));
        });
    }

    [Test]
    public async Task A_refused_open_undoes_the_opened_ones_and_prepares_nothing()
    {
        await Assert.ThrowsAsync<QmpException>(() => RunAsync(Step("a"), Step("b"), Step("c", fails: "open")));
        Assert.That(_calls, Is.EqualTo(Words("open a, open b, undo b, undo a")));
    }

    [Test]
    public async Task A_failed_clean_neither_fails_the_transaction_nor_stops_the_others()
    {
        await RunAsync(Step("a", fails: "clean"), Step("b"));
        Assert.That(_calls[^1], Is.EqualTo("clean b"));
    }

    [Test]
    public async Task Doors_are_closed_from_prepare_to_commit_and_open_for_clean()
    {
        var door = await OpenDoorAsync();
        await RunAsync(Step("a", door: door), Step("b", door: door));
        Assert.That(
            _calls,
            Is.EqualTo(Words("open a, open b, prepare a closed, prepare b closed, commit a closed, commit b closed, proceed a, proceed b, clean a, clean b")));
    }

    [Test]
    public async Task A_single_step_closes_no_door_unless_it_asks()
    {
        var door = await OpenDoorAsync();
        await RunAsync(Step("a", door: door));
        await RunAsync(Step("b", door: door, instant: true));
        Assert.That(_calls, Is.EqualTo(Words("open a, prepare a, commit a, proceed a, clean a, open b, prepare b closed, commit b closed, proceed b, clean b")));
    }

    [Test]
    public async Task The_instant_waits_for_the_requests_inside()
    {
        var door = await OpenDoorAsync();
        Assert.That(door.TryEnter());
        Task transaction = RunAsync(Step("a", door: door, instant: true));
        await _loop.RunAsync(() => Task.CompletedTask);
        Assert.That(_calls, Does.Not.Contain("prepare a closed"));
        door.Exit();
        await transaction;
        Assert.That(_calls, Does.Contain("prepare a closed"));
    }

    [Test]
    public async Task Grouping_is_refused_for_a_step_that_has_none()
    {
        var e = await Assert.ThrowsAsync<QmpException>(() => RunAsync([Step("a", groups: true), Step("b")], grouped: true));
        Assert.Multiple(() =>
        {
            Assert.That(e!.Message, Is.EqualTo("Action 'b' does not support Transaction property completion-mode = grouped"));
            Assert.That(_calls, Does.Contain("abort a"));
        });
    }

    [Test]
    public async Task An_empty_transaction_does_nothing()
    {
        await RunAsync();
        Assert.That(_calls, Is.Empty);
    }

    private static List<string> Words(string calls) => [.. calls.Split(", ")];

    private Task RunAsync(params TransactionStep[] steps) => RunAsync(steps, grouped: false);

    private Task RunAsync(TransactionStep[] steps, bool grouped) =>
        _loop.RunAsync(async () => await Transaction.RunAsync(_graph, steps, grouped));

    private RecordedStep Step(string name, string fails = "", BlockBackend? door = null, bool instant = false, bool groups = false) =>
        new(name, _calls) { Fails = fails, Door = door, Instant = instant, Groups = groups };

    private async Task<BlockBackend> OpenDoorAsync()
    {
        var door = new BlockBackend();
        await _loop.RunAsync(() =>
        {
            var node = new MemoryNode("n", 65536);
            _graph.Add(node);
            _graph.AttachRoot(door, node, BlockPermission.ConsistentRead, BlockPermission.All);
            return Task.CompletedTask;
        });
        return door;
    }

    /// <summary>Writes down every call, with whether the door was closed at it.</summary>
    private sealed class RecordedStep(string name, List<string> calls) : TransactionStep
    {
        public string Fails { get; init; } = "";

        public BlockBackend? Door { get; init; }

        public bool Instant { get; init; }

        public bool Groups { get; init; }

        public override string ActionName => name;

        public override bool NeedsInstant => Instant;

        public override bool SupportsGrouping => Groups;

        public override IEnumerable<BlockNode> DrainedNodes => Door is null ? [] : [Door.Node];

        public override async ValueTask OpenAsync()
        {
            await Task.Yield();
            if (Fails == "open")
            {
                throw new QmpException($"{name} refuses");
            }

            Record("open");
        }

        public override ValueTask UndoOpenAsync()
        {
            Record("undo");
            return default;
        }

        public override void Prepare()
        {
            if (Fails == "prepare")
            {
                throw new QmpException($"{name} refuses");
            }

            Record("prepare");
        }

        public override void Commit() => Record("commit");

        public override void Abort() => Record("abort");

        public override void Proceed() => Record("proceed");

        public override ValueTask CleanAsync()
        {
            Record("clean");
            return Fails == "clean" ? throw new BlockIoException(Errno.EIO) : default;
        }

        private void Record(string phase) => calls.Add($"{phase} {name}{(Door is { IsDrained: true } ? " closed" : "")}");
    }
}
