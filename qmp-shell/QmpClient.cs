using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace QmpShell;

/// <summary>A client of one QMP monitor.</summary>
/// <remarks>
/// <para>Example: <c>await using var client = await QmpClient.ConnectAsync(QmpAddress.Parse("/run/qmp")); await client.NegotiateAsync();
/// var nodes = await client.ExecuteAsync("query-named-block-nodes");</c></para>
/// <para>Requests may be sent from several threads and while others are unanswered; replies find their request by its id. Messages are
/// announced in the order in which the server sent them, each before the call that waits for it goes on.</para>
/// </remarks>
public sealed class QmpClient : IAsyncDisposable
{
    private readonly Socket _socket;

    private readonly SemaphoreSlim _sendGate = new(1);

    private readonly List<KeyValuePair<JsonElement, TaskCompletionSource<JsonElement>>> _pending = [];

    private readonly TaskCompletionSource<JsonElement> _greeting = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private readonly Task _reader;

    private long _lastId;

    private bool _isClosed;

    private QmpClient(Socket socket)
    {
        _socket = socket;
        _reader = ReadAsync();
    }

    /// <summary>Called on the reading task for every event and reply after the greeting; must not block.</summary>
    public event Action<JsonElement>? MessageReceived;

    /// <summary>The server's greeting: the value of its <c>QMP</c> member.</summary>
    public JsonElement Greeting => _greeting.Task.Result.GetProperty("QMP");

    /// <summary>Completes when the connection has ended.</summary>
    public Task Closed => _reader;

    /// <summary>Connects and waits for the greeting.</summary>
    /// <param name="address">Where the monitor listens.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="SocketException">Nobody listens there.</exception>
    /// <exception cref="IOException">The server closed the connection, or what it said is not QMP.</exception>
    public static async Task<QmpClient> ConnectAsync(QmpAddress address, CancellationToken cancellationToken = default)
    {
        var socket = address.CreateSocket();
        try
        {
            await socket.ConnectAsync(address.EndPoint, cancellationToken);
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        var client = new QmpClient(socket);
        try
        {
            var greeting = await client._greeting.Task.WaitAsync(cancellationToken);
            return greeting.TryGetProperty("QMP", out _) ? client : throw new IOException("the server's greeting is not QMP's");
        }
        catch
        {
            await client.DisposeAsync();
            throw;
        }
    }

    /// <summary>Leaves negotiation mode.</summary>
    /// <param name="enable">Capabilities to enable, such as <c>oob</c>.</param>
    public Task NegotiateAsync(params string[] enable)
    {
        var capabilities = new JsonArray([.. enable.Select(name => (JsonNode)JsonValue.Create(name))]);
        return ExecuteAsync("qmp_capabilities", enable.Length == 0 ? null : new JsonObject { ["enable"] = capabilities });
    }

    /// <summary>Runs a command.</summary>
    /// <param name="command">Its name.</param>
    /// <param name="arguments">Its arguments, if any.</param>
    /// <param name="cancellationToken">Stops waiting; the command goes on.</param>
    /// <returns>The value of <c>return</c>.</returns>
    /// <exception cref="QmpErrorException">The server answered with an error.</exception>
    /// <exception cref="IOException">The connection ended first.</exception>
    public async Task<JsonElement> ExecuteAsync(string command, JsonObject? arguments = null, CancellationToken cancellationToken = default)
    {
        var request = new JsonObject { ["execute"] = command };
        if (arguments is not null)
        {
            request["arguments"] = arguments;
        }

        var reply = await SendAsync(request, cancellationToken);
        if (reply.TryGetProperty("error", out var error))
        {
            throw new QmpErrorException(error.GetProperty("class").GetString()!, error.GetProperty("desc").GetString()!);
        }

        return reply.GetProperty("return");
    }

    /// <summary>Sends a request as it is, with an id if it has none.</summary>
    /// <param name="request">The whole request; gets an <c>id</c>.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The whole reply.</returns>
    /// <exception cref="IOException">The connection ended first.</exception>
    public async Task<JsonElement> SendAsync(JsonObject request, CancellationToken cancellationToken = default)
    {
        if (!request.ContainsKey("id"))
        {
            request["id"] = string.Create(CultureInfo.InvariantCulture, $"qmp-shell-{Interlocked.Increment(ref _lastId)}");
        }

        string text = request.ToJsonString();
        var reply = new TaskCompletionSource<JsonElement>(TaskCreationOptions.RunContinuationsAsynchronously);
        await _sendGate.WaitAsync(cancellationToken);
        try
        {
            using var document = JsonDocument.Parse(text);
            Await(document.RootElement.GetProperty("id").Clone(), reply);
            await SendAllAsync(Encoding.UTF8.GetBytes(text + "\n"));
        }
        catch (SocketException e)
        {
            throw new IOException($"the connection is closed: {e.Message}", e);
        }
        finally
        {
            _sendGate.Release();
        }

        return await reply.Task.WaitAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _socket.Dispose();
        await _reader;
        _sendGate.Dispose();
    }

    private void Await(JsonElement id, TaskCompletionSource<JsonElement> reply)
    {
        lock (_pending)
        {
            if (_isClosed)
            {
                throw new IOException("the connection is closed");
            }

            _pending.Add(KeyValuePair.Create(id, reply));
        }
    }

    private async Task SendAllAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await _socket.SendAsync(bytes)..];
        }
    }

    private async Task ReadAsync()
    {
        Exception reason;
        try
        {
            await ProcessLinesAsync();
            reason = new IOException("the server closed the connection");
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or JsonException)
        {
            reason = new IOException($"the connection is broken: {e.Message}", e);
        }

        _greeting.TrySetException(reason);
        lock (_pending)
        {
            _isClosed = true;
            _pending.ForEach(request => request.Value.TrySetException(reason));
            _pending.Clear();
        }
    }

    private async Task ProcessLinesAsync()
    {
        byte[] buffer = new byte[64 << 10];
        int length = 0;
        for (int received = 1; received > 0; length += received)
        {
            int end;
            while ((end = buffer.AsSpan(0, length).IndexOf((byte)'\n')) >= 0)
            {
                Receive(buffer.AsMemory(0, end));
                length -= end + 1;
                buffer.AsSpan(end + 1, length).CopyTo(buffer);
            }

            if (length == buffer.Length)
            {
                Array.Resize(ref buffer, length * 2);
            }

            received = await _socket.ReceiveAsync(buffer.AsMemory(length));
        }
    }

    private void Receive(ReadOnlyMemory<byte> line)
    {
        if (line.Span.Trim(" \r"u8).IsEmpty)
        {
            return;
        }

        using var document = JsonDocument.Parse(line);
        var message = document.RootElement.Clone();
        if (_greeting.TrySetResult(message))
        {
            return;
        }

        MessageReceived?.Invoke(message);
        if (!message.TryGetProperty("event", out _))
        {
            TakePending(message)?.TrySetResult(message);
        }
    }

    /// <summary>Finds the request with the reply's id; a reply without one, or with one the server has changed, is the oldest request's.</summary>
    private TaskCompletionSource<JsonElement>? TakePending(JsonElement reply)
    {
        lock (_pending)
        {
            if (_pending.Count == 0)
            {
                return null;
            }

            bool hasId = reply.TryGetProperty("id", out var id);
            int index = hasId ? Math.Max(_pending.FindIndex(request => JsonElement.DeepEquals(request.Key, id)), 0) : 0;
            var source = _pending[index].Value;
            _pending.RemoveAt(index);
            return source;
        }
    }
}
