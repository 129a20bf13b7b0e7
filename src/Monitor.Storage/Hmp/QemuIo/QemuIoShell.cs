using System.Text;
using Monitor.Block;
using Monitor.Qapi;
using Monitor.Storage.Drives;
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
    private readonly DeviceManager _devices;
    private readonly IReadOnlyList<QemuIoCommand> _commands;
    private readonly HashSet<Task> _pending = [];
    private readonly StringBuilder _left = new();

    /// <summary>Makes one.</summary>
    /// <param name="devices">The drives that may be named instead of nodes, and their devices.</param>
    public QemuIoShell(DeviceManager devices)
    {
        _devices = devices;
        _graph = devices.Drives.Graph;
        _commands =
        [
            new AioFlushCommand(FlushAsync), new AioReadCommand(), new AioWriteCommand(), new AllocCommand(), new BreakCommand(),
            new DiscardCommand(),
            new FlushCommand(), new QemuIoHelpCommand(() => _commands!), new QemuIoInfoCommand(), new LengthCommand(), new MapCommand(),
            new ReadCommand(), new ReadvCommand(), new RemoveBreakCommand(), new ReopenCommand(_graph), new ResumeCommand(), new SleepCommand(),
            new TruncateCommand(_graph), new WaitBreakCommand(), new WriteCommand(), new WritevCommand(),
        ];
    }

    /// <summary>Carries out a command; a turn.</summary>
    /// <param name="name">The node or drive.</param>
    /// <param name="isDevice">Whether the name is that of a guest device instead.</param>
    /// <param name="line">The command and its words.</param>
    /// <param name="output">What it prints, lines ended by LF.</param>
    /// <exception cref="QmpException">There is no such node.</exception>
    public async ValueTask RunAsync(string name, bool isDevice, string line, StringBuilder output)
    {
        Drive? FindDrive() => isDevice ? _devices.GetDriveOfDevice(name) : _devices.Drives.Find(name);

        (BlockNode, Drive?) Find() => FindDrive() is { } drive ? (NodeOf(drive, name), drive) : (_graph.Lookup("", name), null);

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

    private static BlockNode NodeOf(Drive drive, string name) =>
        drive.Backend.HasMedium ? drive.Backend.Node : throw new QmpException($"Device '{name}' has no medium");

    private async ValueTask RunAsync(QemuIoCommand command, Func<(BlockNode Node, Drive? Drive)> find, string[] words, StringBuilder output)
    {
        BlockBackend backend;
        Drive? drive;
        try
        {
            using GraphChange change = await _graph.ChangeAsync();
            (BlockNode node, drive) = find();
            backend = Attach(command, node, drive);
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
            rest = await command.RunAsync(new QemuIoRequest(command, backend, words.AsSpan(1), text) { Drive = drive });
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

    /// <summary>A door to a node; on a drive that a device uses it does what the drive may.</summary>
    private BlockBackend Attach(QemuIoCommand command, BlockNode node, Drive? drive)
    {
        bool isGuests = drive?.Device is not null;
        var backend = new BlockBackend
        {
            OnBehalfOf = isGuests ? drive!.Backend : null,
            Policy = drive is null ? null : new QemuIoPolicy(drive, command.IsCounted),
        };
        _graph.AttachRoot(backend, node, command.Writes && !isGuests ? BlockPermission.Write : BlockPermission.None, BlockPermission.All);
        return backend;
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
