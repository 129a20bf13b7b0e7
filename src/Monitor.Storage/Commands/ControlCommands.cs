using Monitor.Qapi;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>control</c>: the version and the end.</summary>
/// <param name="lifetime">The orderly end.</param>
public sealed class ControlCommands(DaemonLifetime lifetime) : IControlCommands
{
    private static readonly VersionInfo s_version = new()
    {
        Qemu = new VersionTriple { Major = 7, Minor = 2, Micro = 22 },
        Package = "Monitor 0.1.0",
    };

    /// <inheritdoc/>
    public ValueTask<VersionInfo> QueryVersionAsync() => new(s_version);

    /// <summary>Whether the daemon is at its end.</summary>
    internal bool IsEnding => lifetime.IsEnding;

    /// <inheritdoc/>
    public ValueTask QuitAsync() => new(lifetime.EndAsync(ShutdownCause.HostQmpQuit, "quit"));
}
