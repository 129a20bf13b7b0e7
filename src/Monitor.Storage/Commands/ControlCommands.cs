using Monitor.Qapi;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>control</c>: the version and the end.</summary>
/// <param name="version">What the greeting says too.</param>
/// <param name="requestShutdown">Asks for the orderly end, with the reason; returns at once.</param>
public sealed class ControlCommands(VersionInfo version, Action<string> requestShutdown) : IControlCommands
{
    /// <inheritdoc/>
    public ValueTask<VersionInfo> QueryVersionAsync() => new(version);

    /// <inheritdoc/>
    public ValueTask QuitAsync()
    {
        requestShutdown("quit");
        return default;
    }
}
