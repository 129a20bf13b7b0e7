using System.Text.Json;
using System.Text.Json.Nodes;

namespace QmpShell;

/// <summary>Reads lines, sends each as a request and waits for its reply; prints replies and events in the order they come.</summary>
internal sealed class Shell
{
    private readonly QmpClient _client;

    private readonly ShellOptions _options;

    private readonly Action<string, MessageKind> _print;

    private readonly MessageFormatter _formatter;

    private readonly TransactionBuilder _transaction = new();

    private bool _isQuiet;

    /// <summary>Makes a shell.</summary>
    /// <param name="client">Connected, not negotiated.</param>
    /// <param name="options">What the user asked for.</param>
    /// <param name="print">Prints text on lines of its own; called from several threads.</param>
    public Shell(QmpClient client, ShellOptions options, Action<string, MessageKind> print)
    {
        _client = client;
        _options = options;
        _print = print;
        _formatter = new MessageFormatter(options.Pretty);
        client.MessageReceived += PrintMessage;
    }

    /// <summary>Negotiates, unless the user wants to do it.</summary>
    public async Task StartAsync()
    {
        if (!_options.SkipNegotiation)
        {
            await QuietlyAsync(async () =>
            {
                await _client.NegotiateAsync();
                return true;
            });
        }
    }

    /// <summary>Asks the server for its commands and their arguments.</summary>
    /// <returns>An empty one when the server does not tell.</returns>
    public async Task<CommandCompleter> LoadCompleterAsync()
    {
        try
        {
            return new CommandCompleter(await QuietlyAsync(() => _client.ExecuteAsync("query-qmp-schema")));
        }
        catch (QmpErrorException)
        {
            return new CommandCompleter(JsonDocument.Parse("[]").RootElement);
        }
    }

    /// <summary>Runs lines until there are no more or, if so asked, one fails.</summary>
    /// <param name="readLine">Gives the next line, <see langword="null"/> at the end; gets whether a transaction is open.</param>
    /// <returns>The exit code: 1 after a failure that ended a script or when the connection ended too soon.</returns>
    public async Task<int> RunAsync(Func<bool, string?> readLine)
    {
        while (readLine(_transaction.IsOpen) is { } line)
        {
            try
            {
                if (!await RunLineAsync(line) && _options.StopOnError)
                {
                    return 1;
                }
            }
            catch (IOException e)
            {
                _print(e.Message, MessageKind.Error);
                return 1;
            }
        }

        return 0;
    }

    private async Task<bool> RunLineAsync(string line)
    {
        if (string.IsNullOrWhiteSpace(line) || line.TrimStart().StartsWith('#'))
        {
            return true;
        }

        try
        {
            JsonObject? request = _transaction.TryTake(line, out var transaction) ? transaction : CommandLine.ParseRequest(line);
            if (request is null)
            {
                return true;
            }

            if (_options.Verbose)
            {
                _print(request.ToJsonString(), MessageKind.Request);
            }

            var reply = await _client.SendAsync(request);
            return !reply.TryGetProperty("error", out _);
        }
        catch (FormatException e)
        {
            _print(e.Message, MessageKind.Error);
            return false;
        }
    }

    private async Task<T> QuietlyAsync<T>(Func<Task<T>> work)
    {
        _isQuiet = true;
        try
        {
            return await work();
        }
        finally
        {
            _isQuiet = false;
        }
    }

    private void PrintMessage(JsonElement message)
    {
        var kind = message.TryGetProperty("event", out _) ? MessageKind.Event
            : message.TryGetProperty("error", out _) ? MessageKind.ErrorReply
            : MessageKind.Reply;
        if (kind == MessageKind.Event || !_isQuiet)
        {
            _print(_formatter.Format(message), kind);
        }
    }
}
