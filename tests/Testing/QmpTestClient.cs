using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using NUnit.Framework;

namespace Testing;

/// <summary>A QMP client for tests: commands, errors, and every event in the order it came.</summary>
public sealed class QmpTestClient : IDisposable
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(60);

    private readonly Socket _socket;
    private readonly Channel<JsonObject> _replies = Channel.CreateUnbounded<JsonObject>();
    private readonly Channel<JsonObject> _events = Channel.CreateUnbounded<JsonObject>();
    private readonly List<JsonObject> _seen = [];

    /// <summary>Takes over a connected socket.</summary>
    public QmpTestClient(Socket socket)
    {
        _socket = socket;
        _ = ReadAllAsync();
    }

    /// <summary>The greeting, once <see cref="NegotiateAsync"/> has run.</summary>
    public JsonObject? Greeting { get; private set; }

    /// <summary>Every event taken so far by the waiting methods, oldest first.</summary>
    public IReadOnlyList<JsonObject> EventsSeen => _seen;

    /// <summary>As <see cref="NegotiateAsync"/>, but gives up when the daemon does not answer in time.</summary>
    public async Task<bool> TryNegotiateAsync(TimeSpan patience)
    {
        Task<bool> negotiation = AskForNegotiationAsync();
        return await Task.WhenAny(negotiation, Task.Delay(patience)) == negotiation && negotiation.IsCompletedSuccessfully && negotiation.Result;
    }

    /// <summary>Reads the greeting and enters command mode.</summary>
    public async Task NegotiateAsync() => Assert.That(await AskForNegotiationAsync(), Is.True, "negotiation failed");

    /// <summary>Runs a command and returns its value; an error reply fails the test.</summary>
    public async Task<JsonNode> ExecuteAsync(string command, JsonObject? arguments = null)
    {
        JsonObject reply = await SendAsync(command, arguments);
        Assert.That(reply.ContainsKey("return"), Is.True, $"{command} {arguments?.ToJsonString()} → {reply.ToJsonString()}");
        return reply["return"]!;
    }

    /// <summary>Runs a command given as JSON text: <c>name</c> and its arguments object.</summary>
    public Task<JsonNode> ExecuteAsync(string command, string arguments) => ExecuteAsync(command, JsonNode.Parse(arguments)!.AsObject());

    /// <summary>Runs a command that must fail and returns the error.</summary>
    public async Task<(string Class, string Description)> FailAsync(string command, string arguments)
    {
        JsonObject reply = await SendAsync(command, JsonNode.Parse(arguments)!.AsObject());
        Assert.That(reply.ContainsKey("error"), Is.True, $"{command} {arguments} → {reply.ToJsonString()}");
        return ((string)reply["error"]!["class"]!, (string)reply["error"]!["desc"]!);
    }

    /// <summary>Sends a command and returns the whole reply.</summary>
    public async Task<JsonObject> SendAsync(string command, JsonObject? arguments = null)
    {
        var message = new JsonObject { ["execute"] = command };
        if (arguments is not null)
        {
            message["arguments"] = arguments;
        }

        return await SendRawAsync(message.ToJsonString() + "\n");
    }

    /// <summary>Sends text and returns the next reply.</summary>
    public async Task<JsonObject> SendRawAsync(string text)
    {
        await PostAsync(text);
        return await NextReplyAsync();
    }

    /// <summary>Sends text with open descriptors beside it and returns the next reply.</summary>
    public async Task<JsonObject> SendRawAsync(string text, int[] descriptors)
    {
        if (descriptors.Length == 0)
        {
            return await SendRawAsync(text);
        }

        DescriptorSender.Send(_socket, Encoding.UTF8.GetBytes(text), descriptors);
        return await NextReplyAsync();
    }

    /// <summary>Sends text without waiting.</summary>
    public async Task PostAsync(string text) => await _socket.SendAsync(Encoding.UTF8.GetBytes(text));

    /// <summary>The next reply or greeting.</summary>
    public Task<JsonObject> NextReplyAsync() => NextAsync(_replies, "a reply");

    /// <summary>The next event of that name that <paramref name="where"/> accepts; those before it are kept in <see cref="EventsSeen"/>.</summary>
    public async Task<JsonObject> WaitEventAsync(string name, Func<JsonObject, bool>? where = null)
    {
        while (true)
        {
            JsonObject next = await NextAsync(_events, $"the event {name}; seen: {string.Join(", ", _seen.Select(e => e.ToJsonString()))}");
            _seen.Add(next);
            if ((string?)next["event"] == name && (where?.Invoke(next["data"]!.AsObject()) ?? true))
            {
                return next["data"]?.AsObject() ?? [];
            }
        }
    }

    /// <summary>Takes the events that came before the last reply and that nobody took yet.</summary>
    public IReadOnlyList<JsonObject> TakeEvents()
    {
        int before = _seen.Count;
        while (_events.Reader.TryRead(out JsonObject? next))
        {
            _seen.Add(next);
        }

        return _seen[before..];
    }

    /// <summary>Waits until a job has the status.</summary>
    public Task WaitJobAsync(string id, string status) =>
        WaitEventAsync("JOB_STATUS_CHANGE", data => (string?)data["id"] == id && (string?)data["status"] == status);

    /// <summary>The statuses that a job had in the events seen, oldest first.</summary>
    public IEnumerable<string> StatusesOf(string id) =>
        from e in _seen
        where (string?)e["event"] == "JOB_STATUS_CHANGE" && (string?)e["data"]!["id"] == id
        select (string)e["data"]!["status"]!;

    public void Dispose() => _socket.Dispose();

    private async Task<bool> AskForNegotiationAsync()
    {
        Greeting = await NextReplyAsync();
        return (await SendAsync("qmp_capabilities")).ContainsKey("return");
    }

    private static async Task<JsonObject> NextAsync(Channel<JsonObject> channel, string what)
    {
        using var limit = new CancellationTokenSource(s_limit);
        try
        {
            return await channel.Reader.ReadAsync(limit.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or ChannelClosedException)
        {
            throw new AssertionException($"there never was {what}", e);
        }
    }

    private async Task ReadAllAsync()
    {
        try
        {
            using var reader = new StreamReader(new NetworkStream(_socket), Encoding.UTF8);
            while (await reader.ReadLineAsync() is { } line)
            {
                JsonObject message = JsonNode.Parse(line)!.AsObject();
                await (message.ContainsKey("event") ? _events : _replies).Writer.WriteAsync(message);
            }
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            TestContext.Out.WriteLine($"QMP connection ended: {e.Message}");
        }
        finally
        {
            _replies.Writer.TryComplete();
            _events.Writer.TryComplete();
        }
    }
}
