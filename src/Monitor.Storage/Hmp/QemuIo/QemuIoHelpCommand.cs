namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>help</c>: lists the commands.</summary>
internal sealed class QemuIoHelpCommand(Func<IReadOnlyList<QemuIoCommand>> commands) : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "help";

    /// <inheritdoc/>
    public override string Arguments => "[command]";

    /// <inheritdoc/>
    public override string Help => "list the commands, or describe one";

    /// <inheritdoc/>
    public override int MaximumWords => 1;

    /// <inheritdoc/>
    public override ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        string? wanted = request.Words.Count > 0 ? request.Words[0] : null;
        bool isFound = false;
        foreach (QemuIoCommand command in commands())
        {
            if (wanted is null || wanted == command.Name)
            {
                isFound = true;
                request.Output.Append($"{command.Usage}\n");
            }
        }

        return isFound ? default : throw new QemuIoException($"command {wanted} not found");
    }
}
