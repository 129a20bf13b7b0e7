using System.Text.Json.Nodes;

namespace QmpShell;

/// <summary>Gathers the actions of the form <c>transaction( ACTION key=value ... )</c>, on one line or an action on each of several.</summary>
internal sealed class TransactionBuilder
{
    private JsonArray? _actions;

    /// <summary>A transaction has been opened and not closed.</summary>
    public bool IsOpen => _actions is not null;

    /// <summary>Takes a line that opens a transaction or comes while one is open.</summary>
    /// <param name="line">The line.</param>
    /// <param name="request">The request, when the line closed the transaction.</param>
    /// <returns><see langword="false"/> when the line has nothing to do with a transaction.</returns>
    /// <exception cref="FormatException">The line is malformed; an open transaction stays open.</exception>
    public bool TryTake(string line, out JsonObject? request)
    {
        request = null;
        string text = line.Trim();
        bool isOpening = text.StartsWith("transaction(", StringComparison.Ordinal);
        if (!isOpening && !IsOpen)
        {
            return false;
        }

        text = isOpening ? text["transaction(".Length..].Trim() : text;
        bool isClosing = text.EndsWith(')');
        var words = CommandLine.SplitWords(isClosing ? text[..^1] : text);
        var action = words.Count == 0 ? null : new JsonObject { ["type"] = words[0], ["data"] = CommandLine.ParseArguments(words, 1) };
        _actions = isOpening || _actions is null ? [] : _actions;
        if (action is not null)
        {
            _actions.Add((JsonNode)action);
        }

        if (isClosing)
        {
            request = new JsonObject { ["execute"] = "transaction", ["arguments"] = new JsonObject { ["actions"] = _actions } };
            _actions = null;
        }

        return true;
    }
}
