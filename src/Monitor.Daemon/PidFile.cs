using Monitor.Qapi;

namespace Monitor.Daemon;

/// <summary>The file that tells the process id to others; removed at the end.</summary>
internal sealed class PidFile : IDisposable
{
    private readonly string _path;
    private readonly FileStream _file;

    /// <summary>Writes the file and keeps it open and locked.</summary>
    /// <exception cref="QmpException">It cannot be written, or another process holds it.</exception>
    public PidFile(string path)
    {
        try
        {
            _path = Path.GetFullPath(path);
            _file = new FileStream(_path, new FileStreamOptions
            {
                Mode = FileMode.OpenOrCreate,
                Access = FileAccess.ReadWrite,
                Share = FileShare.ReadWrite | FileShare.Delete,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            });
            Lock();
            _file.SetLength(0);
            _file.Write(System.Text.Encoding.ASCII.GetBytes($"{Environment.ProcessId}\n"));
            _file.Flush();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new QmpException($"cannot create PID file: {Describe(path, e)}");
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        try
        {
            File.Delete(_path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            DaemonLog.Warn("Daemon", $"PID file not removed: {e.Message}");
        }

        _file.Dispose();
    }

    /// <summary>A record lock, as QEMU takes it: whoever only reads the file does not notice.</summary>
    private void Lock()
    {
        try
        {
            _file.Lock(0, 0);
        }
        catch (IOException)
        {
            _file.Dispose();
            throw new QmpException("cannot create PID file: Cannot lock pid file: Resource temporarily unavailable");
        }
    }

    private static string Describe(string path, Exception e) => e switch
    {
        DirectoryNotFoundException or FileNotFoundException or ArgumentException => $"Could not create '{path}': No such file or directory",
        UnauthorizedAccessException when Directory.Exists(path) => $"Could not create '{path}': Is a directory",
        UnauthorizedAccessException => $"Could not create '{path}': Permission denied",
        _ => $"Could not create '{path}': {e.Message}",
    };
}
