using Monitor.Qapi.Json;

namespace Monitor.Qmp;

/// <summary>Sends events to every negotiated session, all in the same order, stamped with the time they were emitted.</summary>
/// <remarks>An event is written once and its bytes appended to each session's output; see <see cref="QmpOutput"/> for why that does not
/// wait for a slow reader. Rate-limited events go through <see cref="QmpEventThrottle"/>.</remarks>
public sealed class QmpEventBus : IEventSink
{
    private readonly Lock _lock = new();

    private readonly List<QmpOutput> _outputs = [];

    private readonly JsonWriter _message = new();

    private readonly TimeProvider _time;

    private readonly QmpEventThrottle _throttle;

    /// <summary>Makes a bus.</summary>
    /// <param name="time">Gives the stamps and the limits' clock.</param>
    public QmpEventBus(TimeProvider time)
    {
        _time = time;
        _throttle = new QmpEventThrottle(time, SendLater);
    }

    /// <inheritdoc/>
    public void Emit<TData>(string name, TData? data)
        where TData : class, IQapiOutput
    {
        try
        {
            lock (_lock)
            {
                Write(name, data);
                if (_throttle.ShouldSend(name, _message.Written))
                {
                    Send(_message.Written);
                }
            }
        }
        catch (Exception e)
        {
            DaemonLog.Error("Qmp", $"event {name}: {e}");
        }
    }

    /// <summary>Adds a session that has negotiated.</summary>
    internal void Add(QmpOutput output)
    {
        lock (_lock)
        {
            _outputs.Add(output);
        }
    }

    /// <summary>Removes a session; one that is not there is none.</summary>
    internal void Remove(QmpOutput output)
    {
        lock (_lock)
        {
            _outputs.Remove(output);
        }
    }

    private void SendLater(byte[] bytes)
    {
        lock (_lock)
        {
            Send(bytes);
        }
    }

    private void Send(ReadOnlySpan<byte> bytes)
    {
        foreach (var output in _outputs)
        {
            output.Append(bytes);
            output.Flush();
        }
    }

    private void Write(string name, IQapiOutput? data)
    {
        long microseconds = _time.GetUtcNow().Subtract(DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
        _message.Clear();
        _message.WriteEnvelope("{\"timestamp\": {\"seconds\": "u8);
        _message.WriteNumber(microseconds / 1_000_000);
        _message.WriteName("\"microseconds\": "u8);
        _message.WriteNumber(microseconds % 1_000_000);
        _message.WriteEnvelope("}, \"event\": "u8);
        _message.WriteString(name);
        if (data is not null)
        {
            _message.WriteName("\"data\": "u8);
            data.Write(_message);
        }

        _message.WriteEnvelope("}\r\n"u8);
    }
}
