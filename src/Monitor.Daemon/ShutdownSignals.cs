using System.Runtime.InteropServices;

namespace Monitor.Daemon;

/// <summary>Turns SIGTERM, SIGINT and SIGHUP into one orderly end.</summary>
internal sealed class ShutdownSignals : IDisposable
{
    private static readonly PosixSignal[] s_signals = [PosixSignal.SIGTERM, PosixSignal.SIGINT, PosixSignal.SIGHUP];

    private readonly PosixSignalRegistration[] _registrations;

    /// <summary>Listens from now on.</summary>
    /// <param name="onSignal">Called on a thread of the runtime for every such signal, with its name.</param>
    public ShutdownSignals(Action<string> onSignal) =>
        _registrations = Array.ConvertAll(s_signals, signal => PosixSignalRegistration.Create(signal, context =>
        {
            context.Cancel = true;
            onSignal(context.Signal.ToString());
        }));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }
    }
}
