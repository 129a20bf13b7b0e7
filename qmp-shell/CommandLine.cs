using System.Text.Json;
using System.Text.Json.Nodes;

namespace QmpShell;

/// <summary>Turns a line such as <c>blockdev-add driver=raw node-name=n file.driver=null-co file.size=1024</c> into a request.</summary>
/// <remarks>Words are separated by blanks outside quotes and brackets. A value is JSON if it parses as such, else a string; dots in a key
/// nest. A line that begins with <c>{</c> is a whole request.</remarks>
internal static class CommandLine
{
    /// <summary>Parses a line.</summary>
    /// <param name="line">Not blank.</param>
    /// <exception cref="FormatException">It is malformed.</exception>
    public static JsonObject ParseRequest(string line)
    {
        if (line.TrimStart().StartsWith('{'))
        {
            return TryParseJson(line, out var node) && node is JsonObject request ? request : throw new FormatException("this is not a JSON object");
        }

        var words = SplitWords(line);
        var parsed = new JsonObject { ["execute"] = words[0] };
        if (words.Count > 1)
        {
            parsed["arguments"] = ParseArguments(words, 1);
        }

        return parsed;
    }

    /// <summary>Parses words <c>key=value</c>.</summary>
    /// <param name="words">All words of the line.</param>
    /// <param name="first">The first that is an argument.</param>
    /// <exception cref="FormatException">One is malformed.</exception>
    public static JsonObject ParseArguments(List<string> words, int first)
    {
        var arguments = new JsonObject();
        foreach (string word in words[first..])
        {
            int equals = word.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
            {
                throw new FormatException($"expected 'key=value', got '{word}'");
            }

            SetMember(arguments, word[..equals], ParseValue(word[(equals + 1)..]));
        }

        return arguments;
    }

    /// <summary>Splits a line into words.</summary>
    /// <exception cref="FormatException">A quote or bracket is not closed.</exception>
    public static List<string> SplitWords(string line)
    {
        var words = new List<string>();
        int start = -1;
        int depth = 0;
        char quote = '\0';
        for (int i = 0; i < line.Length; i++)
        {
            char c = line[i];
            if (quote == '\0' && depth == 0 && char.IsWhiteSpace(c))
            {
                AddWord(words, line, ref start, i);
                continue;
            }

            start = start < 0 ? i : start;
            if (quote != '\0')
            {
                i += c == '\\' ? 1 : 0;
                quote = c == quote ? '\0' : quote;
            }
            else if (c is '"' or '\'')
            {
                quote = c;
            }
            else
            {
                depth += c is '{' or '[' ? 1 : c is '}' or ']' ? -1 : 0;
            }
        }

        if (quote != '\0' || depth > 0)
        {
            throw new FormatException(quote != '\0' ? "a quote is not closed" : "a bracket is not closed");
        }

        AddWord(words, line, ref start, line.Length);
        return words;
    }

    private static void AddWord(List<string> words, string line, ref int start, int end)
    {
        if (start >= 0)
        {
            words.Add(line[start..end]);
            start = -1;
        }
    }

    private static JsonNode? ParseValue(string text)
    {
        if (TryParseJson(text, out var node))
        {
            return node;
        }

        bool isQuoted = text.Length >= 2 && text[0] == '\'' && text[^1] == '\'';
        return JsonValue.Create(isQuoted ? text[1..^1] : text);
    }

    private static bool TryParseJson(string text, out JsonNode? node)
    {
        try
        {
            node = JsonNode.Parse(text);
            return true;
        }
        catch (JsonException)
        {
            node = null;
            return false;
        }
    }

    private static void SetMember(JsonObject target, string key, JsonNode? value)
    {
        string[] path = key.Split('.');
        foreach (string name in path[..^1])
        {
            if (!target.TryGetPropertyValue(name, out var child))
            {
                target[name] = child = new JsonObject();
            }

            target = child as JsonObject ?? throw new FormatException($"'{key}' is given both a value and members");
        }

        if (!target.TryAdd(path[^1], value))
        {
            throw new FormatException($"'{key}' is given twice");
        }
    }
}
