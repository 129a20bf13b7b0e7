using System.Text.Json.Nodes;

namespace Conformance;

/// <summary>Makes, from two introspected schemas, arguments that both daemons must refuse before any command runs.</summary>
/// <remarks>
/// For every position in a command's arguments that both schemas know as the same sort of type: each JSON kind and some numbers beyond the limits; each member
/// left out that both demand; a member too many. The rest of the arguments is minimal and valid. Every case also has the member
/// <c>x-unexpected</c> at the top, so a value that is accepted is still refused for that. A type is walked where it is met first;
/// elsewhere only its kind is tried. Example, for <c>job-pause</c>: <c>{"id": 1, "x-unexpected": 1}</c>, <c>{"x-unexpected": 1}</c>.
/// </remarks>
internal sealed class ArgumentCases
{
    private const string Unexpected = "x-unexpected";

    /// <summary>One of each kind, and numbers at which types end.</summary>
    private static readonly string[] s_values =
    [
        "null", "true", "1", "1.5", "\"x\"", "[]", "{}", "[1]", "-1", "256", "65536", "4294967296", "9223372036854775808", "18446744073709551616", "1e400", "\"1\"",
    ];

    private readonly Dictionary<string, JsonObject> _ours;
    private readonly Dictionary<string, JsonObject> _theirs;
    private readonly HashSet<string> _walked = [];
    private readonly List<string> _cases = [];

    private ArgumentCases(JsonNode ours, JsonNode theirs)
    {
        _ours = ByName(ours);
        _theirs = ByName(theirs);
    }

    /// <summary>The whole requests for every command that both schemas have.</summary>
    /// <param name="ours">Our answer to <c>query-qmp-schema</c>.</param>
    /// <param name="theirs">The other daemon's.</param>
    /// <param name="leftOut">Names of commands not wanted.</param>
    public static IReadOnlyList<string> For(JsonNode ours, JsonNode theirs, IEnumerable<string> leftOut)
    {
        var cases = new ArgumentCases(ours, theirs);
        HashSet<string> known = [.. leftOut];
        foreach (JsonObject command in cases._ours.Values.Where(entry => (string?)entry["meta-type"] == "command"))
        {
            string name = (string)command["name"]!;
            if (!known.Contains(name) && cases._theirs.TryGetValue(name, out JsonObject? their))
            {
                cases.VisitObject((string)command["arg-type"]!, (string)their["arg-type"]!, arguments => cases.Add(name, arguments.AsObject()));
            }
        }

        return cases._cases;
    }

    private static Dictionary<string, JsonObject> ByName(JsonNode schema) =>
        schema.AsArray().ToDictionary(entry => (string)entry!["name"]!, entry => entry!.AsObject());

    private static IEnumerable<JsonObject> Items(JsonObject entry, string list) => entry[list]?.AsArray().Select(item => item!.AsObject()) ?? [];

    private static bool IsOptional(JsonObject member) => member.ContainsKey("default");

    private void Add(string command, JsonObject arguments)
    {
        arguments[Unexpected] = 1;
        _cases.Add(new JsonObject { ["execute"] = command, ["arguments"] = arguments }.ToJsonString());
    }

    /// <summary>Visits a position of any type.</summary>
    /// <param name="our">The type's name in our schema.</param>
    /// <param name="their">Its name in theirs.</param>
    /// <param name="put">Puts a value there and adds the case.</param>
    private void Visit(string our, string their, Action<JsonNode> put)
    {
        JsonObject type = _ours[our];
        JsonObject theirType = _theirs[their];
        if ((string?)type["meta-type"] != (string?)theirType["meta-type"])
        {
            return;
        }

        foreach (string value in s_values)
        {
            put(JsonNode.Parse(value)!);
        }

        switch ((string?)type["meta-type"])
        {
            case "array" when _walked.Add(our):
                Visit((string)type["element-type"]!, (string)theirType["element-type"]!, item => put(new JsonArray(item)));
                break;
            case "object":
                VisitObject(our, their, put);
                break;
            case "alternate" when _walked.Add(our):
                foreach ((string ourChoice, string theirChoice) in Alternatives(type, theirType))
                {
                    Visit(ourChoice, theirChoice, put);
                }

                break;
        }
    }

    private void VisitObject(string our, string their, Action<JsonNode> put)
    {
        JsonObject type = _ours[our];
        if (type["tag"] is null)
        {
            VisitMembers(our, their, () => Minimal(our, their), put, _walked.Add(our));
            return;
        }

        bool isNew = _walked.Add(our);
        foreach ((string tag, string ourVariant, string theirVariant) in Variants(our, their))
        {
            VisitMembers(our, their, () => Minimal(our, their, tag), put, isNew);
            if (isNew && _ours[ourVariant]["members"]!.AsArray().Count > 0)
            {
                VisitMembers(ourVariant, theirVariant, () => Minimal(our, their, tag), put, isWhole: true);
            }

            isNew = isNew && tag.Length > 0;
        }
    }

    /// <summary>Tries the members of one object type inside an object made by <paramref name="make"/>.</summary>
    private void VisitMembers(string our, string their, Func<JsonObject> make, Action<JsonNode> put, bool isWhole)
    {
        JsonObject whole = make();
        whole[Unexpected] = 1;
        put(whole);
        foreach ((JsonObject member, JsonObject theirMember) in Common(our, their))
        {
            string name = (string)member["name"]!;
            JsonObject without = make();
            if (without.Remove(name) && !IsOptional(member))
            {
                put(without);
            }

            if (isWhole)
            {
                Visit((string)member["type"]!, (string)theirMember["type"]!, value =>
                {
                    JsonObject with = make();
                    with[name] = value;
                    put(with);
                });
            }
        }
    }

    private IEnumerable<(JsonObject Our, JsonObject Their)> Common(string our, string their) =>
        from member in Items(_ours[our], "members")
        from theirMember in Items(_theirs[their], "members")
        where (string?)member["name"] == (string?)theirMember["name"]
        select (member, theirMember);

    private IEnumerable<(string Tag, string Our, string Their)> Variants(string our, string their) =>
        from variant in Items(_ours[our], "variants")
        from theirVariant in Items(_theirs[their], "variants")
        where (string?)variant["case"] == (string?)theirVariant["case"]
        select ((string)variant["case"]!, (string)variant["type"]!, (string)theirVariant["type"]!);

    private IEnumerable<(string Our, string Their)> Alternatives(JsonObject our, JsonObject their) =>
        from choice in Items(our, "members")
        from theirChoice in Items(their, "members")
        let ourType = (string)choice["type"]!
        let theirType = (string)theirChoice["type"]!
        where (string?)_ours[ourType]["meta-type"] is "object" or "array"
            && (string?)_ours[ourType]["meta-type"] == (string?)_theirs[theirType]["meta-type"]
        select (ourType, theirType);

    /// <summary>An object with just the members that must be there.</summary>
    private JsonObject Minimal(string our, string their, string? tag = null)
    {
        var value = new JsonObject();
        JsonObject type = _ours[our];
        (string Tag, string Our, string Their) variant = type["tag"] is null ? default
            : Variants(our, their).First(v => tag is null || v.Tag == tag);
        AddRequired(value, our, their);
        if (type["tag"] is { } tagMember)
        {
            value[(string)tagMember!] = variant.Tag;
            AddRequired(value, variant.Our, variant.Their);
        }

        return value;
    }

    private void AddRequired(JsonObject value, string our, string their)
    {
        foreach ((JsonObject member, JsonObject theirMember) in Common(our, their).Where(pair => !IsOptional(pair.Our) || !IsOptional(pair.Their)))
        {
            value[(string)member["name"]!] = Valid((string)member["type"]!, (string)theirMember["type"]!);
        }
    }

    private JsonNode? Valid(string our, string their)
    {
        JsonObject type = _ours[our];
        return (string?)type["meta-type"] switch
        {
            "builtin" => ValidBuiltin((string)type["json-type"]!),
            "enum" => type["values"]![0]!.DeepClone(),
            "array" => new JsonArray(),
            "object" => Minimal(our, their),
            _ => "x",
        };
    }

    private static JsonNode? ValidBuiltin(string kind) => kind switch
    {
        "int" or "number" => 1,
        "boolean" => true,
        "null" => null,
        _ => "x",
    };
}
