using Microsoft.Win32.SafeHandles;

namespace Monitor.Qapi;

/// <summary>The open descriptors that the clients of one monitor have given names (<c>getfd</c>); they outlive the session that sent them.</summary>
/// <remarks>
/// What a command does with a name (<c>SocketAddress</c> of type <c>fd</c>) happens far below it, often after an <c>await</c> or on
/// another thread. So the names of the monitor whose command is under way travel with it, as <see cref="Current"/>; that costs nothing
/// while there are none.
/// </remarks>
public sealed class DescriptorNames
{
    private static readonly AsyncLocal<DescriptorNames?> s_current = new();

    private readonly Dictionary<string, SafeFileHandle> _handles = [];

    /// <summary>The names that the command under way may use; <see langword="null"/> when there are none.</summary>
    public static DescriptorNames? Current => s_current.Value;

    /// <summary>Whether no name is given.</summary>
    public bool IsEmpty => _handles.Count == 0;

    /// <summary>Gives a name; a descriptor that had it is closed.</summary>
    /// <param name="name">Not beginning with a digit.</param>
    /// <param name="handle">Owned from now on.</param>
    /// <exception cref="QmpException">The name begins with a digit; the descriptor is closed.</exception>
    public void Add(string name, SafeFileHandle handle)
    {
        if (name.Length > 0 && char.IsAsciiDigit(name[0]))
        {
            handle.Dispose();
            throw new QmpException("Parameter 'fdname' expects a name not starting with a digit");
        }

        lock (_handles)
        {
            _handles.Remove(name, out SafeFileHandle? before);
            before?.Dispose();
            _handles.Add(name, handle);
        }
    }

    /// <summary>Takes a descriptor out.</summary>
    /// <returns>The caller's from now on; <see langword="null"/> when none has the name.</returns>
    public SafeFileHandle? Take(string name)
    {
        lock (_handles)
        {
            return _handles.Remove(name, out SafeFileHandle? handle) ? handle : null;
        }
    }

    /// <summary>Work for another thread, which may then use the names too.</summary>
    public Action Bind(Action work) => () => Run(() =>
    {
        work();
        return true;
    });

    /// <summary>Runs a piece of work that may use the names, also after it has awaited.</summary>
    public TResult Run<TResult>(Func<TResult> work)
    {
        DescriptorNames? before = s_current.Value;
        s_current.Value = this;
        try
        {
            return work();
        }
        finally
        {
            s_current.Value = before;
        }
    }
}
