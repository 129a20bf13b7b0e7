using System.Text.Json;

namespace Conformance;

/// <summary>Walks two introspected schemas by name, from each command and event down, and lists how they differ.</summary>
/// <remarks>
/// Type names are numbers that mean nothing across daemons, so types are compared where members lead to them. A line reads
/// <c>missing PATH</c> (only the other daemon has it), <c>extra PATH</c> (only we do) or <c>differs PATH: ours / theirs</c>.
/// </remarks>
internal sealed class SchemaWalk
{
    private readonly Dictionary<string, JsonElement> _ours;
    private readonly Dictionary<string, JsonElement> _theirs;
    private readonly HashSet<(string, string)> _seen = [];
    private readonly List<string> _differences = [];

    private SchemaWalk(JsonElement ours, JsonElement theirs)
    {
        _ours = ByName(ours);
        _theirs = ByName(theirs);
    }

    public static List<string> Compare(JsonElement ours, JsonElement theirs)
    {
        var walk = new SchemaWalk(ours, theirs);
        walk.CompareEntities();
        return walk._differences;
    }

    private static Dictionary<string, JsonElement> ByName(JsonElement list) =>
        list.EnumerateArray().ToDictionary(entry => Text(entry, "name"), entry => entry);

    private static string Text(JsonElement entry, string key) => entry.TryGetProperty(key, out JsonElement value) ? value.ToString() : "";

    private static Dictionary<string, JsonElement> Map(JsonElement entry, string list, string key) =>
        entry.TryGetProperty(list, out JsonElement items)
            ? items.EnumerateArray().ToDictionary(item => Text(item, key), item => item)
            : [];

    private void CompareEntities()
    {
        static Dictionary<string, JsonElement> Entities(Dictionary<string, JsonElement> schema) =>
            schema.Where(entry => Text(entry.Value, "meta-type") is "command" or "event").ToDictionary();

        CompareMaps(Entities(_ours), Entities(_theirs), "", (path, ours, theirs) =>
        {
            CompareText(path, ours, theirs, "meta-type", "allow-oob", "features");
            CompareTypes(path, Text(ours, "arg-type"), Text(theirs, "arg-type"));
            CompareTypes(path + " returns", Text(ours, "ret-type"), Text(theirs, "ret-type"));
        });
    }

    private void CompareMaps(
        Dictionary<string, JsonElement> ours, Dictionary<string, JsonElement> theirs, string prefix, Action<string, JsonElement, JsonElement> compare)
    {
        foreach ((string name, JsonElement their) in theirs)
        {
            if (ours.TryGetValue(name, out JsonElement our))
            {
                compare(prefix + name, our, their);
            }
            else
            {
                _differences.Add($"missing {prefix}{name}");
            }
        }

        _differences.AddRange(ours.Keys.Where(name => !theirs.ContainsKey(name)).Select(name => $"extra {prefix}{name}"));
    }

    private void CompareText(string path, JsonElement ours, JsonElement theirs, params ReadOnlySpan<string> keys)
    {
        foreach (string key in keys)
        {
            if (Text(ours, key).Replace(" ", "", StringComparison.Ordinal) != Text(theirs, key).Replace(" ", "", StringComparison.Ordinal))
            {
                _differences.Add($"differs {path} {key}: {Text(ours, key)} / {Text(theirs, key)}");
            }
        }
    }

    private void CompareTypes(string path, string ourName, string theirName)
    {
        if (ourName.Length == 0 || !_seen.Add((ourName, theirName)))
        {
            return;
        }

        JsonElement ours = _ours[ourName];
        JsonElement theirs = _theirs[theirName];
        string metaType = Text(ours, "meta-type");
        CompareText(path, ours, theirs, "meta-type", "json-type", "tag", "features");
        if (metaType != Text(theirs, "meta-type"))
        {
            return;
        }

        switch (metaType)
        {
            case "array":
                CompareTypes(path, Text(ours, "element-type"), Text(theirs, "element-type"));
                break;
            case "enum":
                CompareMaps(Map(ours, "members", "name"), Map(theirs, "members", "name"), path + "=", (value, our, their) =>
                    CompareText(value, our, their, "features"));
                break;
            case "object":
                CompareObjects(path, ours, theirs);
                break;
            case "alternate":
                CompareMaps(Alternatives(_ours, ours), Alternatives(_theirs, theirs), path + "|", (kind, our, their) =>
                    CompareTypes(kind, Text(our, "type"), Text(their, "type")));
                break;
        }
    }

    private void CompareObjects(string path, JsonElement ours, JsonElement theirs)
    {
        CompareMaps(Map(ours, "members", "name"), Map(theirs, "members", "name"), path + ".", (member, our, their) =>
        {
            CompareText(member, our, their, "features");
            if (our.TryGetProperty("default", out _) != their.TryGetProperty("default", out _))
            {
                _differences.Add($"differs {member}: one is optional");
            }

            CompareTypes(member, Text(our, "type"), Text(their, "type"));
        });

        // A tag value without a counterpart is reported where the tag's enum is compared.
        Dictionary<string, JsonElement> theirVariants = Map(theirs, "variants", "case");
        foreach ((string value, JsonElement variant) in Map(ours, "variants", "case"))
        {
            if (theirVariants.TryGetValue(value, out JsonElement their))
            {
                CompareTypes($"{path}({value})", Text(variant, "type"), Text(their, "type"));
            }
        }
    }

    /// <summary>The alternatives by kind; there is at most one of each.</summary>
    private static Dictionary<string, JsonElement> Alternatives(Dictionary<string, JsonElement> schema, JsonElement alternate) =>
        alternate.GetProperty("members").EnumerateArray().ToDictionary(
            member => Text(schema[Text(member, "type")], "meta-type") == "builtin"
                ? Text(schema[Text(member, "type")], "json-type")
                : Text(schema[Text(member, "type")], "meta-type"),
            member => member);
}
