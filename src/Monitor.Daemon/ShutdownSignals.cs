using System.Runtime.InteropServices;

namespace Monitor.Daemon;

/// <summary>Turns SIGTERM, SIGINT and SIGHUP into one orderly end, also for who started the daemon with them ignored.</summary>
/// <remarks>A script's shell ignores SIGINT for what it starts by <c>&amp;</c>, nohup(1) SIGHUP; the runtime leaves both so.</remarks>
internal sealed unsafe partial class ShutdownSignals : IDisposable
{
    private const int SIGHUP = 1;
    private const int SIGINT = 2;
    private const int SIGTERM = 15;

    /// <summary>Room in bytes for <c>struct sigaction</c>.</summary>
    private const int ActionBytes = 256;

    private static readonly PosixSignal[] s_signals = [PosixSignal.SIGTERM, PosixSignal.SIGINT, PosixSignal.SIGHUP];

    private readonly PosixSignalRegistration[] _registrations;

    /// <summary>Listens from now on.</summary>
    /// <param name="onSignal">Called on a thread of the runtime for every such signal, with its name.</param>
    public ShutdownSignals(Action<string> onSignal)
    {
        _registrations = Array.ConvertAll(s_signals, signal => PosixSignalRegistration.Create(signal, context =>
        {
            context.Cancel = true;
            onSignal(context.Signal.ToString());
        }));
        byte* action = stackalloc byte[ActionBytes];
        _ = SetAction(SIGTERM, null, action);
        _ = SetAction(SIGINT, action, null);
        _ = SetAction(SIGHUP, action, null);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }
    }

    /// <summary>The runtime's handler asks which signal it was: SIGTERM's, which is set whatever was before, serves the others.</summary>
    [LibraryImport("libc", EntryPoint = "sigaction")]
    private static partial int SetAction(int signal, byte* action, byte* previous);
}
