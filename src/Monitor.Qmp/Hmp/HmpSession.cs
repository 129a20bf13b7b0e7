using System.Buffers;
using System.Text;

namespace Monitor.Qmp;

/// <summary>One person at a human monitor: prompts, shows the line as it is typed, runs it, prints what it says.</summary>
/// <remarks>Lines run one at a time; what is typed meanwhile waits in the connection.</remarks>
internal sealed class HmpSession : IMonitorSession
{
    private const int ReceiveBytes = 4096;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    private readonly QmpTransport _transport;

    private readonly Func<string, Task<string?>> _runLine;

    private readonly QmpOutput _output;

    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private readonly LineEditor _editor = new();

    private readonly ArrayBufferWriter<byte> _screen = new();

    private readonly string _name;

    /// <summary>Makes the session of a connection.</summary>
    /// <param name="transport">Connected; owned from now on.</param>
    /// <param name="runLine">Runs a line and gives back what it printed; <see langword="null"/> when it ended the daemon.</param>
    /// <param name="name">For the log.</param>
    public HmpSession(QmpTransport transport, Func<string, Task<string?>> runLine, string name)
    {
        _transport = transport;
        _runLine = runLine;
        _name = name;
        _output = new QmpOutput(transport, isPretty: false);
    }

    private static ReadOnlySpan<byte> Banner => "QEMU 7.2.22 monitor - type 'help' for more information\r\n"u8;

    /// <inheritdoc/>
    public void Run()
    {
        try
        {
            DaemonLog.Info("Qmp", $"{_name} opened by {_transport.DescribePeer()}");
            _output.Append(Banner);
            _output.Append(LineEditor.Prompt);
            _output.Flush();
            ProcessInput();
        }
        catch (Exception e)
        {
            DaemonLog.Error("Qmp", $"{_name}: {e}");
        }

        _output.Close(s_patience);
        _transport.Dispose();
        DaemonLog.Info("Qmp", $"{_name} closed");
    }

    /// <inheritdoc/>
    public void Stop()
    {
        _stopped.TrySetResult();
        _transport.EndReceiving();
        _output.EndWaiting();
    }

    private void ProcessInput()
    {
        byte[] buffer = new byte[ReceiveBytes];
        for (int length = _transport.Receive(buffer); length > 0; length = _transport.Receive(buffer))
        {
            _transport.TakeDescriptors()?.Dispose();
            foreach (byte key in buffer.AsSpan(0, length))
            {
                byte[]? line = _editor.Take(key, _screen);
                Print();
                if (line is not null && !RunLine(Encoding.UTF8.GetString(line)))
                {
                    return;
                }
            }

            _output.Flush();
            _output.WaitForReader();
        }
    }

    private void Print()
    {
        if (!_transport.EchoesInput)
        {
            _output.Append(_screen.WrittenSpan);
        }

        _screen.ResetWrittenCount();
    }

    /// <summary>A line may take as long as it likes, until the session is stopped.</summary>
    private bool RunLine(string line)
    {
        _output.Flush();
        Task<string?> running = _runLine(line);
        Task.WaitAny(running, _stopped.Task);
        if (Task.WaitAny([running], s_patience) < 0 || running.GetAwaiter().GetResult() is not { } printed)
        {
            return false;
        }

        _output.Append(Encoding.UTF8.GetBytes(printed));
        _output.Append(LineEditor.Prompt);
        _output.Flush();
        return true;
    }
}
