using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using NUnit.Framework;

namespace Testing;

/// <summary>A running daemon, ours or QEMU's, with a QMP socket in a directory of the test's.</summary>
public sealed class DaemonProcess : IAsyncDisposable
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan s_oraclePatience = TimeSpan.FromSeconds(10);

    private readonly ProcessStartInfo _start;
    private readonly StringBuilder _error = new();
    private Process _process;

    private DaemonProcess(string program, string qmpPath, IEnumerable<string> arguments)
    {
        QmpPath = qmpPath;
        _start = new ProcessStartInfo(program, arguments) { RedirectStandardError = true };
        _process = StartProcess();
    }

    /// <summary>The QMP socket's path.</summary>
    public string QmpPath { get; }

    /// <summary>The daemon's process id.</summary>
    public int Id => _process.Id;

    /// <summary>What the daemon wrote to standard error so far.</summary>
    public string Error
    {
        get
        {
            lock (_error)
            {
                return _error.ToString();
            }
        }
    }

    /// <summary>Starts our daemon; it may not listen yet.</summary>
    public static DaemonProcess Start(TemporaryDirectory directory, params string[] arguments) => Start(Repository.Daemon, directory, arguments);

    /// <summary>Starts a daemon that understands qemu-storage-daemon's options, or a QEMU emulator; it may not listen yet.</summary>
    public static DaemonProcess Start(string program, TemporaryDirectory directory, params string[] arguments)
    {
        string path = directory.File($"qmp-{Path.GetRandomFileName()}");
        string[] monitor = Path.GetFileName(program).StartsWith("qemu-system-", StringComparison.Ordinal)
            ? ["-mon", "chardev=m,mode=control"]
            : ["--monitor", "chardev=m"];
        return new DaemonProcess(program, path, [.. arguments, "--chardev", $"socket,path={path},server=on,wait=off,id=m", .. monitor]);
    }

    /// <summary>Connects to the QMP socket as soon as it listens, and negotiates.</summary>
    /// <remarks>qemu-storage-daemon 7.2 now and then greets a client that came while it started, and never answers; it is started again then.</remarks>
    public async Task<QmpTestClient> ConnectAsync()
    {
        while (_start.FileName != Repository.Daemon)
        {
            var attempt = new QmpTestClient(await ConnectSocketAsync(QmpPath));
            if (await attempt.TryNegotiateAsync(s_oraclePatience))
            {
                return attempt;
            }

            attempt.Dispose();
            Kill();
            _process.Dispose();
            _process = StartProcess();
        }

        var client = new QmpTestClient(await ConnectSocketAsync(QmpPath));
        await client.NegotiateAsync();
        return client;
    }

    /// <summary>Connects to a socket as soon as it listens.</summary>
    public async Task<Socket> ConnectSocketAsync(string path)
    {
        var clock = Stopwatch.StartNew();
        while (true)
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path));
                return socket;
            }
            catch (SocketException) when (clock.Elapsed < s_limit && !_process.HasExited)
            {
                socket.Dispose();
                await Task.Yield();
            }
            catch (SocketException)
            {
                Assert.Fail($"nothing listens on {path}; the daemon said: {Error}");
            }
        }
    }

    /// <summary>Ends the daemon as SIGKILL does.</summary>
    public void Kill()
    {
        _process.Kill();
        _process.WaitForExit();
    }

    /// <summary>Waits until the daemon has ended by itself.</summary>
    /// <returns>Its exit code.</returns>
    public async Task<int> WaitForExitAsync()
    {
        using var limit = new CancellationTokenSource(s_limit);
        try
        {
            await _process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"the daemon did not end; it said: {Error}");
        }

        return _process.ExitCode;
    }

    /// <summary>Whether the daemon still runs.</summary>
    public bool IsRunning => !_process.HasExited;

    public ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            Kill();
        }

        _process.Dispose();
        return default;
    }

    private Process StartProcess()
    {
        var process = new Process { StartInfo = _start };
        process.ErrorDataReceived += (_, line) =>
        {
            lock (_error)
            {
                _error.AppendLine(line.Data);
            }
        };
        process.Start();
        process.BeginErrorReadLine();
        return process;
    }
}
