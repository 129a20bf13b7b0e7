using Microsoft.Win32.SafeHandles;

namespace Monitor.Qapi;

/// <summary>The open descriptors that came with a piece of a client's input (<c>SCM_RIGHTS</c>), until a command takes one.</summary>
/// <param name="handles">In the order they were sent.</param>
public sealed class ReceivedDescriptors(params SafeFileHandle[] handles) : IDisposable
{
    private SafeFileHandle[] _handles = handles;

    /// <summary>Takes the first one out and closes the others, for which no command has a use.</summary>
    /// <returns><see langword="null"/> when they are taken already.</returns>
    public SafeFileHandle? Take()
    {
        SafeFileHandle[] handles = Interlocked.Exchange(ref _handles, []);
        foreach (SafeFileHandle surplus in handles.Skip(1))
        {
            surplus.Dispose();
        }

        return handles.FirstOrDefault();
    }

    /// <summary>Closes those that nobody took.</summary>
    public void Dispose() => Take()?.Dispose();
}
