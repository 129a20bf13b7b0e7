using Microsoft.Win32.SafeHandles;
using Monitor.Qapi.Json;
using Gate = System.Threading.Monitor;

namespace Monitor.Qmp;

/// <summary>One client: reads its requests, runs them in order, sends its replies and events.</summary>
/// <remarks>
/// <para>The session's own thread receives, parses and runs each command's first turn; a command that completes there is answered in the
/// batch of its receive. When a command has to wait, requests behind it queue (at most <see cref="MaximumQueuedRequests"/>, then the
/// socket is not read) and out-of-band ones overtake; the turn that completes it also runs those queued.</para>
/// <para>Invariant: in-band commands run one at a time. <c>_isBusy</c> says that one is waiting; only then does another thread than the
/// session's run commands, and it clears the flag, under the lock, after the last reply is appended.</para>
/// </remarks>
internal sealed class QmpSession : IMonitorSession, IQmpSessionInfo
{
    /// <summary>Requests that may wait behind a command.</summary>
    public const int MaximumQueuedRequests = 8;

    private const int ReceiveBytes = 64 << 10;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    private readonly QmpTransport _transport;

    private readonly QmpDispatcher _dispatcher;

    private readonly QmpEventBus _events;

    private readonly QmpOutput _output;

    private readonly JsonStreamParser _parser = new();

    private readonly object _gate = new();

    private readonly Queue<QmpRequest> _queue = new(MaximumQueuedRequests);

    private readonly string _name;

    private QmpRequest _next;

    private ReceivedDescriptors? _received;

    private bool _isReceivedInUse;

    private ReceivedDescriptors? _offered;

    private bool _isNegotiated;

    private bool _isSubscribed;

    private bool _isOutOfBandEnabled;

    private volatile bool _isBusy;

    private volatile string? _endReason;

    /// <summary>Makes the session of a connection.</summary>
    /// <param name="transport">Connected; owned from now on.</param>
    /// <param name="dispatcher">Runs the commands.</param>
    /// <param name="events">Joined after negotiation.</param>
    /// <param name="monitor">The monitor that the client connected to.</param>
    /// <param name="number">Counts the daemon's sessions, for the log.</param>
    public QmpSession(QmpTransport transport, QmpDispatcher dispatcher, QmpEventBus events, QmpMonitor monitor, int number)
    {
        _transport = transport;
        _dispatcher = dispatcher;
        _events = events;
        MonitorId = monitor.Id;
        DescriptorNames = monitor.DescriptorNames;
        _name = $"session {number} of monitor '{monitor.Id}'";
        _output = new QmpOutput(transport, monitor.IsPretty);
        _next = new QmpRequest(this);
        _parser.ExchangeTape(_next.Tape);
    }

    /// <inheritdoc/>
    public string MonitorId { get; }

    /// <inheritdoc/>
    public DescriptorNames DescriptorNames { get; }

    /// <inheritdoc/>
    public SafeFileHandle? TakeDescriptor() => _offered?.Take();

    /// <inheritdoc/>
    public void Run()
    {
        try
        {
            DaemonLog.Info("Qmp", $"{_name} opened by {_transport.DescribePeer()}");
            _output.Append(QmpGreeting.Bytes);
            _output.Flush();
            ProcessInput();
            WaitForCommands();
        }
        catch (Exception e)
        {
            _endReason = "internal error";
            DaemonLog.Error("Qmp", $"{_name}: {e}");
        }

        _events.Remove(_output);
        _output.Close(s_patience);
        _transport.Dispose();
        CloseDescriptors();
        DaemonLog.Info("Qmp", $"{_name} closed: {(_output.IsOverrun ? "too much output unread" : _endReason ?? "client left")}");
    }

    /// <inheritdoc/>
    public void Stop() => End("server stopped");

    /// <summary>Notes that a command waits; called before anything can complete it.</summary>
    internal void NotePending(QmpRequest request)
    {
        if (!request.IsOutOfBand)
        {
            lock (_gate)
            {
                _isBusy = true;
            }
        }
    }

    /// <summary>Answers a command that had to wait, then runs what queued behind it.</summary>
    internal void Complete(QmpRequest request)
    {
        _output.Append(request.Reply.Finish());
        if (!request.IsOutOfBand)
        {
            RunQueued();
        }

        _output.Flush();
    }

    /// <summary>Makes an unexpected exception the end of this session, after an error reply.</summary>
    internal void Fail(QmpRequest request, Exception exception)
    {
        DaemonLog.Error("Qmp", $"{_name}: {exception}");
        request.Reply.SetError(QmpErrorClass.GenericError, $"Internal error ({exception.GetType().Name}); the session is closed");
        End("internal error");
    }

    private void End(string reason)
    {
        _endReason ??= reason;
        _transport.EndReceiving();
        _output.EndWaiting();
        lock (_gate)
        {
            Gate.PulseAll(_gate);
        }
    }

    private void ProcessInput()
    {
        byte[] buffer = new byte[ReceiveBytes];
        for (int length = _transport.Receive(buffer); length > 0; length = _transport.Receive(buffer))
        {
            AdoptDescriptors();
            _output.BeginBatch();
            int position = 0;
            while (_endReason is null && _parser.TryRead(buffer.AsSpan(0, length), ref position, out string? error))
            {
                Take(error);
            }

            _output.EndBatch();
            _output.WaitForReader();
        }
    }

    /// <summary>New descriptors take the place of those that no command took; a request keeps those of its time until it has run.</summary>
    private void AdoptDescriptors()
    {
        if (_transport.TakeDescriptors() is { } descriptors)
        {
            if (!_isReceivedInUse)
            {
                _received?.Dispose();
            }

            _received = descriptors;
            _isReceivedInUse = false;
        }
    }

    private void CloseDescriptors()
    {
        _received?.Dispose();
        _offered?.Dispose();
        foreach (QmpRequest request in _queue)
        {
            request.Descriptors?.Dispose();
        }
    }

    private void Take(string? error)
    {
        var request = _next;
        request.ParseError = error;
        request.Descriptors = _received;
        _isReceivedInUse = true;
        request.IsOutOfBand = _isOutOfBandEnabled && request.HasOutOfBandForm;
        bool isMine = request.IsOutOfBand || !TryQueue(request);
        if (isMine && Execute(request))
        {
            Answer(request);
            return;
        }

        _next = new QmpRequest(this);
        _parser.ExchangeTape(_next.Tape);
    }

    private bool TryQueue(QmpRequest request)
    {
        if (!_isBusy)
        {
            return false;
        }

        lock (_gate)
        {
            if (_isBusy && _queue.Count == MaximumQueuedRequests)
            {
                _output.EndBatch();
                while (_isBusy && _queue.Count == MaximumQueuedRequests && _endReason is null)
                {
                    Gate.Wait(_gate);
                }

                _output.BeginBatch();
            }

            if (_isBusy)
            {
                _queue.Enqueue(request);
            }

            return _isBusy;
        }
    }

    private void RunQueued()
    {
        for (; ; )
        {
            QmpRequest? request = null;
            lock (_gate)
            {
                _isBusy = _endReason is null && _queue.TryDequeue(out request);
                Gate.PulseAll(_gate);
            }

            if (request is null || !Execute(request))
            {
                return;
            }

            Answer(request);
        }
    }

    private void Answer(QmpRequest request)
    {
        _output.Append(request.Reply.Finish());
        if (_isNegotiated && !_isSubscribed)
        {
            _isSubscribed = true;
            _events.Add(_output);
        }

        if (request.Tape.IsHuge)
        {
            Release(request);
        }
    }

    /// <summary>Gives back at once what a huge request has taken: the heap holds many times its size, and nothing else would make it shrink.</summary>
    private static void Release(QmpRequest request)
    {
        request.Tape.Clear();
        request.Reply.Clear();
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
    }

    private bool Execute(QmpRequest request)
    {
        if (!request.IsOutOfBand && request.Descriptors != _offered)
        {
            _offered?.Dispose();
            _offered = request.Descriptors;
        }

        try
        {
            request.Open(_isOutOfBandEnabled);
            if (request.CommandName.SequenceEqual("qmp_capabilities"u8))
            {
                Negotiate(request);
            }
            else if (_isNegotiated)
            {
                _dispatcher.Dispatch(request);
            }
            else
            {
                throw new QmpException(QmpErrorClass.CommandNotFound, "Expecting capabilities negotiation with 'qmp_capabilities'");
            }
        }
        catch (QmpException e)
        {
            request.Reply.SetError(e.ErrorClass, e.Message);
        }
        catch (Exception e)
        {
            Fail(request, e);
        }

        return !request.IsPending;
    }

    private void Negotiate(QmpRequest request)
    {
        if (request.IsOutOfBand)
        {
            throw new QmpException("The command qmp_capabilities does not support OOB");
        }

        bool enableOutOfBand = QmpCapabilities.ReadArguments(request.OpenArguments());
        if (_isNegotiated)
        {
            throw new QmpException(QmpErrorClass.CommandNotFound, "Capabilities negotiation is already complete, command ignored");
        }

        _isNegotiated = true;
        _isOutOfBandEnabled = enableOutOfBand;
    }

    private void WaitForCommands()
    {
        lock (_gate)
        {
            bool isInTime = true;
            while (_isBusy && isInTime)
            {
                isInTime = Gate.Wait(_gate, _endReason is null ? Timeout.InfiniteTimeSpan : s_patience);
            }
        }
    }
}
