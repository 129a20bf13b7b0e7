using System.Globalization;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>sleep</c>: waits; the monitor goes on for others.</summary>
internal sealed class SleepCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "sleep";

    /// <inheritdoc/>
    public override string Arguments => "milliseconds";

    /// <inheritdoc/>
    public override string Help => "wait";

    /// <inheritdoc/>
    public override int MinimumWords => 1;

    /// <inheritdoc/>
    public override int MaximumWords => 1;

    /// <inheritdoc/>
    public override async ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        await Task.Delay(int.TryParse(request.Words[0], NumberStyles.None, CultureInfo.InvariantCulture, out int milliseconds)
            ? milliseconds
            : throw new QemuIoException($"{request.Words[0]} is not a valid number"));
        return null;
    }
}
