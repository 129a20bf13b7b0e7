using System.Text.Json;

namespace QmpShell;

/// <summary>Knows the commands and their arguments from the answer of <c>query-qmp-schema</c>.</summary>
internal sealed class CommandCompleter
{
    private readonly SortedDictionary<string, string[]> _commands = new(StringComparer.Ordinal);

    /// <summary>Reads the schema.</summary>
    /// <param name="schema">The answer of <c>query-qmp-schema</c>, or of <c>query-commands</c>, which gives names only.</param>
    public CommandCompleter(JsonElement schema)
    {
        var types = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach (var entity in schema.EnumerateArray())
        {
            types.TryAdd(entity.GetProperty("name").GetString()!, entity);
        }

        foreach (var entity in schema.EnumerateArray())
        {
            if (!entity.TryGetProperty("meta-type", out var kind) || kind.ValueEquals("command"))
            {
                _commands[entity.GetProperty("name").GetString()!] = ArgumentsOf(entity, types);
            }
        }
    }

    /// <summary>What the last word of a line may become.</summary>
    /// <param name="line">The line up to the cursor.</param>
    /// <returns>Whole words: command names, or argument names with their equals sign.</returns>
    public IReadOnlyList<string> Complete(string line)
    {
        int start = line.LastIndexOf(' ') + 1;
        string word = line[start..];
        string[] before = line[..start].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        IEnumerable<string> candidates = before.Length == 0 ? _commands.Keys
            : _commands.TryGetValue(before[0], out string[]? arguments) ? arguments.Select(name => name + "=")
            : [];
        return [.. candidates.Where(candidate => candidate.StartsWith(word, StringComparison.Ordinal) && !before.Any(w => w.StartsWith(candidate, StringComparison.Ordinal)))];
    }

    private static string[] ArgumentsOf(JsonElement command, Dictionary<string, JsonElement> types)
    {
        bool isKnown = command.TryGetProperty("arg-type", out var name)
            && types.TryGetValue(name.GetString()!, out var type)
            && type.TryGetProperty("members", out _);
        return isKnown ? [.. types[name.GetString()!].GetProperty("members").EnumerateArray().Select(m => m.GetProperty("name").GetString()!)] : [];
    }
}
