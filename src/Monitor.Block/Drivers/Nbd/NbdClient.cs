using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Monitor.Block.Io;
using Monitor.Nbd;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Nbd;

/// <summary>A server that may go away and come back: connects, connects again when the connection is lost, and repeats what was lost with it.</summary>
/// <remarks>
/// From the loss of a connection on, new ones are tried without end, after 1, 2, 4, 8, then every 16 seconds. For the first
/// seconds of <c>reconnect-delay</c> requests wait for one and are then made again; after that time, or at once when somebody needs them to
/// end (<see cref="BeginImpatience"/>), they fail with EIO, and so do all later ones until a connection stands. A server that breaks the protocol
/// or comes back with another export is not used again.
/// </remarks>
internal sealed class NbdClient : IDisposable
{
    /// <summary>How long one attempt may take: connecting and negotiating.</summary>
    private static readonly TimeSpan s_attemptLimit = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan s_firstPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_longestPause = TimeSpan.FromSeconds(16);

    private readonly NbdServerAddress _server;
    private readonly TimeSpan _reconnectDelay;
    private readonly TimeProvider _clock;
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _ending = new();
    private NbdConnection? _connection;
    private TaskCompletionSource? _recovery;
    private ITimer? _patience;
    private int _impatience;

    /// <summary>Makes a client that is not connected.</summary>
    /// <param name="server">Where the export is.</param>
    /// <param name="reconnectDelay">How long requests wait for a lost server.</param>
    /// <param name="clock">Measures all times.</param>
    public NbdClient(NbdServerAddress server, TimeSpan reconnectDelay, TimeProvider clock)
    {
        _server = server;
        _reconnectDelay = reconnectDelay;
        _clock = clock;
    }

    /// <summary>What the first connection negotiated.</summary>
    public NbdClientExport Export { get; private set; } = null!;

    /// <summary>Whether there is a connection now.</summary>
    public bool IsConnected => Volatile.Read(ref _connection) is not null;

    /// <summary>Connects for the first time; blocks, so runs on a block thread.</summary>
    /// <param name="timeout">How long attempts are repeated; zero for one attempt.</param>
    /// <exception cref="QmpException">The server cannot be reached or refuses.</exception>
    public async ValueTask ConnectAsync(TimeSpan timeout)
    {
        long started = _clock.GetTimestamp();
        QmpException? failure = null;
        for (TimeSpan pause = s_firstPause; ; pause = Longer(pause))
        {
            TimeSpan left = timeout - _clock.GetElapsedTime(started);
            if (failure is not null && left <= TimeSpan.Zero)
            {
                throw failure;
            }

            try
            {
                Adopt(Establish(timeout > TimeSpan.Zero ? left : s_attemptLimit));
                return;
            }
            catch (QmpException e) when (left > TimeSpan.Zero)
            {
                failure = e;
            }

            await Task.Delay(pause < left ? pause : left, _clock, _ending.Token).ConfigureAwait(false);
        }
    }

    /// <summary>Makes a request, and makes it again if the connection is lost and comes back in time.</summary>
    /// <exception cref="BlockIoException">There is no connection (EIO).</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<NbdAnswer> SendAsync(
        NbdCommand command, NbdCommandFlags flags, long offset, uint length, ReadOnlyMemory<byte> payload, Memory<byte> destination)
    {
        while (true)
        {
            NbdConnection connection = Volatile.Read(ref _connection) ?? await WaitAsync().ConfigureAwait(false);
            NbdAnswer answer = await connection.SendAsync(command, flags, offset, length, payload, destination).ConfigureAwait(false);
            if (answer.Errno != NbdAnswer.Lost)
            {
                return answer;
            }
        }
    }

    /// <summary>From now on no request waits for a lost server: they fail until a connection stands. Nests.</summary>
    public void BeginImpatience()
    {
        Interlocked.Increment(ref _impatience);
        EndWait();
    }

    /// <summary>Ends one <see cref="BeginImpatience"/>.</summary>
    public void EndImpatience() => Interlocked.Decrement(ref _impatience);

    /// <summary>Ends the connection and every wait and attempt.</summary>
    public void Dispose()
    {
        NbdConnection? connection;
        lock (_gate)
        {
            connection = _connection;
            _ending.Cancel();
        }

        connection?.Close();
        EndWait();
    }

    private void EndWait()
    {
        TaskCompletionSource? recovery;
        lock (_gate)
        {
            (recovery, _recovery) = (_recovery, null);
            _patience?.Dispose();
            _patience = null;
        }

        recovery?.TrySetResult();
    }

    private static TimeSpan Longer(TimeSpan pause) => pause * 2 < s_longestPause ? pause * 2 : s_longestPause;

    private async ValueTask<NbdConnection> WaitAsync()
    {
        while (true)
        {
            Task wait;
            lock (_gate)
            {
                if (_connection is { } connection)
                {
                    return connection;
                }

                wait = _recovery?.Task ?? throw new BlockIoException(Errno.EIO);
            }

            await wait.ConfigureAwait(false);
        }
    }

    private (Socket Socket, NbdClientExport Export) Establish(TimeSpan limit)
    {
        using var timer = new CancellationTokenSource(limit > TimeSpan.Zero ? limit : TimeSpan.Zero, _clock);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, _ending.Token);
        return _server.Connect(ended.Token);
    }

    private void Adopt((Socket Socket, NbdClientExport Export) established)
    {
        var (socket, export) = established;
        TaskCompletionSource? recovery;
        lock (_gate)
        {
            if (_ending.IsCancellationRequested || (Export is { } before && !IsSame(before, export)))
            {
                socket.Dispose();
                throw new QmpException("the server has another export now");
            }

            Export ??= export;
            _connection = new NbdConnection(new NbdSocket(socket), export, OnLost);
            (recovery, _recovery) = (_recovery, null);
            _patience?.Dispose();
            _patience = null;
            _connection.Start();
        }

        recovery?.TrySetResult();
    }

    private static bool IsSame(NbdClientExport before, NbdClientExport after) =>
        before.Info == after.Info && before.BlockSizes == after.BlockSizes && before.MetaContexts.Count == after.MetaContexts.Count;

    /// <summary>The connection's last act, before its requests end.</summary>
    private void OnLost(NbdConnection connection, bool isBroken)
    {
        lock (_gate)
        {
            _connection = null;
            if (_ending.IsCancellationRequested)
            {
                return;
            }

            if (isBroken)
            {
                DaemonLog.Error("Nbd", $"{_server}: not used any more");
                return;
            }

            DaemonLog.Warn("Nbd", $"{_server}: connection lost");
            if (_reconnectDelay > TimeSpan.Zero && Volatile.Read(ref _impatience) == 0)
            {
                _recovery = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                _patience = _clock.CreateTimer(_ => EndWait(), null, _reconnectDelay, Timeout.InfiniteTimeSpan);
            }
        }

        _ = ReconnectAsync();
    }

    private async Task ReconnectAsync()
    {
        for (TimeSpan pause = s_firstPause; !_ending.IsCancellationRequested; pause = Longer(pause))
        {
            try
            {
                await BlockThreads.RunAsync(() => Adopt(Establish(s_attemptLimit))).ConfigureAwait(false);
                DaemonLog.Info("Nbd", $"{_server}: connected again");
                return;
            }
            catch (QmpException e)
            {
                DaemonLog.Debug("Nbd", $"{_server}: {e.Message}");
            }

            try
            {
                await Task.Delay(pause, _clock, _ending.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }
}
