using System.Text;
using Monitor.Block;
using Monitor.Qapi;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary>Carries out commands of the qemu-io tool on nodes, each through a door of its own.</summary>
/// <remarks>
/// The <c>aio_</c> commands answer at once; what they print when done comes with the next <c>aio_flush</c>, at most
/// <see cref="MaximumLeftText"/> characters of it.
/// </remarks>
internal sealed class QemuIoShell
{
    private const int MaximumLeftText = 1 << 16;

    private readonly BlockGraph _graph;
    private readonly IReadOnlyList<QemuIoCommand> _commands;
    private readonly HashSet<Task> _pending = [];
    private readonly StringBuilder _left = new();

    /// <summary>Makes one.</summary>
    /// <param name="graph">The nodes.</param>
    public QemuIoShell(BlockGraph graph)
    {
        _graph = graph;
        _commands =
        [
            new AioFlushCommand(FlushAsync), new AioReadCommand(), new AioWriteCommand(), new AllocCommand(), new DiscardCommand(),
            new FlushCommand(), new QemuIoHelpCommand(() => _commands!), new QemuIoInfoCommand(), new LengthCommand(), new MapCommand(),
            new ReadCommand(), new ReadvCommand(), new SleepCommand(), new WriteCommand(), new WritevCommand(),
        ];
    }

    /// <summary>Carries out a command; a turn.</summary>
    /// <param name="nodeName">The node.</param>
    /// <param name="line">The command and its words.</param>
    /// <param name="output">What it prints, lines ended by LF.</param>
    /// <exception cref="QmpException">There is no such node.</exception>
    public async ValueTask RunAsync(string nodeName, string line, StringBuilder output)
    {
        BlockNode Find() => _graph.Find(nodeName) ?? throw new QmpException($"Cannot find device='' nor node-name='{nodeName}'");

        Find();
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (words.Length == 0)
        {
            return;
        }

        if (_commands.FirstOrDefault(command => command.Name == words[0]) is not { } command)
        {
            output.Append($"command \"{words[0]}\" not found\n");
        }
        else if (CountError(command, words.Length - 1) is { } error)
        {
            output.Append($"{error}\n");
        }
        else
        {
            await RunAsync(command, Find, words, output);
        }
    }

    private static string? CountError(QemuIoCommand command, int count)
    {
        (int minimum, int maximum) = (command.MinimumWords, command.MaximumWords);
        return count >= minimum && (maximum < 0 || count <= maximum) ? null
            : $"bad argument count {count} to {command.Name}, expected "
                + (maximum < 0 ? $"at least {minimum} arguments"
                    : minimum == maximum ? $"{minimum} arguments"
                    : $"between {minimum} and {maximum} arguments");
    }

    private async ValueTask RunAsync(QemuIoCommand command, Func<BlockNode> find, string[] words, StringBuilder output)
    {
        var backend = new BlockBackend();
        try
        {
            using GraphChange change = await _graph.ChangeAsync();
            BlockPermission used = command.Writes ? BlockPermission.Write : BlockPermission.None;
            _graph.AttachRoot(backend, find(), used, BlockPermission.All);
        }
        catch (QmpException e)
        {
            output.Append($"{e.Message}\n");
            return;
        }

        Task? rest = null;
        var text = new StringBuilder();
        try
        {
            rest = await command.RunAsync(new QemuIoRequest(command, backend, words.AsSpan(1), text));
        }
        catch (QemuIoException e)
        {
            text.Append($"{e.Message}\n");
        }

        Task finished = FinishAsync(rest, backend, text, rest is { IsCompleted: false } ? _left : output);
        if (rest is null || rest.IsCompleted)
        {
            await finished;
        }
        else if (_pending.Add(finished))
        {
            _ = ForgetAsync(finished);
        }
    }

    private async Task FinishAsync(Task? rest, BlockBackend backend, StringBuilder text, StringBuilder output)
    {
        if (rest is not null)
        {
            await rest;
        }

        using (await _graph.ChangeAsync())
        {
            await _graph.DetachRootAsync(backend);
        }

        output.Append(text);
        if (_left.Length > MaximumLeftText)
        {
            _left.Remove(0, _left.Length - MaximumLeftText);
        }
    }

    private async Task ForgetAsync(Task finished)
    {
        await finished;
        _pending.Remove(finished);
    }

    private async Task FlushAsync(StringBuilder output)
    {
        await Task.WhenAll(_pending);
        output.Append(_left);
        _left.Clear();
    }
}
