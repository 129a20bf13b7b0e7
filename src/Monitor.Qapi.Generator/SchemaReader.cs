using System.Text.Json;
using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator;

/// <summary>Reads the schema's files: each a JSON list of entries, with <c>//</c> comments.</summary>
/// <remarks>Checks the form of each entry (keys, docs); <see cref="SchemaChecker"/> checks what entries say of each other.</remarks>
internal sealed class SchemaReader
{
    private static readonly JsonDocumentOptions s_options = new() { CommentHandling = JsonCommentHandling.Skip };

    /// <summary>The modules, in the order in which introspection lists them.</summary>
    private static readonly string[] s_modules =
    [
        "common", "error", "control", "introspect", "sockets", "block-node", "block-driver", "bitmap", "job", "block-job", "export",
        "transaction", "char", "crypto", "misc", "descriptor", "machine", "block", "qdev", "hmp",
    ];

    private readonly Schema _schema;
    private readonly string _module;
    private readonly bool _withPlanned;
    private string _entryName = "";

    private SchemaReader(Schema schema, string module, bool withPlanned)
    {
        _schema = schema;
        _module = module;
        _withPlanned = withPlanned;
    }

    private string Where => $"{_module}.json: {_entryName}";

    /// <summary>Reads every module of <paramref name="directory"/>.</summary>
    /// <param name="directory">The directory of the schema.</param>
    /// <param name="withPlanned">Takes planned entries for implemented ones: the schema as it is to be.</param>
    public static Schema ReadDirectory(string directory, bool withPlanned = false)
    {
        var schema = new Schema();
        foreach (string module in s_modules)
        {
            string path = Path.Combine(directory, module + ".json");
            if (!File.Exists(path))
            {
                throw new SchemaException(module + ".json", "no such file");
            }

            ReadModule(schema, module, File.ReadAllText(path), withPlanned);
        }

        foreach (string path in Directory.EnumerateFiles(directory, "*.json"))
        {
            string module = Path.GetFileNameWithoutExtension(path);
            if (!s_modules.Contains(module))
            {
                throw new SchemaException(module + ".json", "not in the generator's list of modules");
            }
        }

        return schema;
    }

    /// <summary>Adds one module's entries to <paramref name="schema"/>.</summary>
    public static void ReadModule(Schema schema, string module, string json, bool withPlanned = false)
    {
        try
        {
            using var document = JsonDocument.Parse(json, s_options);
            var reader = new SchemaReader(schema, module, withPlanned);
            foreach (JsonElement entry in document.RootElement.EnumerateArray())
            {
                reader.ReadEntry(entry);
            }
        }
        catch (JsonException error)
        {
            throw new SchemaException(module + ".json", error.Message);
        }
    }

    private void ReadEntry(JsonElement entry)
    {
        JsonProperty kind = entry.EnumerateObject().First();
        _entryName = kind.Value.GetString()!;
        switch (kind.Name)
        {
            case "enum":
                Allow(entry, "enum", "doc", "data", "features");
                _schema.Add(new EnumType(_entryName, Doc(entry, ""), ReadEnumValues(entry.GetProperty("data")), Features(entry)), _module);
                break;
            case "struct":
                Allow(entry, "struct", "doc", "base", "data", "features", "command-line");
                bool isCommandLine = Flag(entry, "command-line");
                List<Member> members = Members(entry, "data");
                _schema.Add(new StructType(_entryName, Doc(entry, ""), Text(entry, "base"), members, Features(entry), isCommandLine), _module);
                break;
            case "union":
                Allow(entry, "union", "doc", "base", "discriminator", "data", "features");
                _schema.Add(ReadUnion(entry), _module);
                break;
            case "alternate":
                Allow(entry, "alternate", "doc", "data");
                _schema.Add(new AlternateType(_entryName, Doc(entry, ""), Members(entry, "data")), _module);
                break;
            case "command":
                ReadCommand(entry);
                break;
            case "error":
                Allow(entry, "error", "doc", "texts");
                _schema.Errors.Add(new ErrorCode(_entryName, Doc(entry, ""), [.. entry.GetProperty("texts").EnumerateArray().Select(text => text.GetString()!)]));
                break;
            case "event":
                Allow(entry, "event", "doc", "data", "planned", "features");
                _schema.Events.Add(new Event(
                    _entryName,
                    _module,
                    Doc(entry, ""),
                    ReadData(entry, Names.Pascal(_entryName) + "Event", $"Data of the event <c>{_entryName}</c>."),
                    IsPlanned(entry),
                    Features(entry)));
                break;
            default:
                throw new SchemaException(Where, $"unknown kind of entry '{kind.Name}'");
        }
    }

    private void ReadCommand(JsonElement entry)
    {
        Allow(entry, "command", "doc", "data", "returns", "features", "action", "gen", "allow-oob", "lockless", "planned", "session", "takes-session");
        CommandTraits traits = CommandTraits.None;
        traits |= IsPlanned(entry) ? CommandTraits.Planned : 0;
        traits |= Flag(entry, "session") ? CommandTraits.Session : 0;
        traits |= Flag(entry, "allow-oob") ? CommandTraits.AllowOob : 0;
        traits |= Flag(entry, "lockless") ? CommandTraits.Lockless : 0;
        traits |= Flag(entry, "takes-session") ? CommandTraits.TakesSession : 0;
        traits |= entry.TryGetProperty("gen", out JsonElement gen) && !gen.GetBoolean() ? CommandTraits.HandWritten : 0;
        _schema.Commands.Add(new Command(
            _entryName,
            _module,
            Doc(entry, ""),
            ReadData(entry, Names.Pascal(_entryName) + "Arguments", $"Arguments of the command <c>{_entryName}</c>."),
            entry.TryGetProperty("returns", out JsonElement returns) ? ReadTypeReference(returns) : null,
            traits,
            Text(entry, "action"),
            Features(entry)));
    }

    /// <summary>The argument or event data type: named, or declared in place and then called <paramref name="implicitName"/>.</summary>
    private string? ReadData(JsonElement entry, string implicitName, string implicitDoc)
    {
        if (!entry.TryGetProperty("data", out JsonElement data))
        {
            return null;
        }

        if (data.ValueKind == JsonValueKind.String)
        {
            return data.GetString();
        }

        _schema.Add(new StructType(implicitName, implicitDoc, null, Members(entry, "data"), [], false), _module);
        return implicitName;
    }

    private UnionType ReadUnion(JsonElement entry)
    {
        bool isNamed = entry.GetProperty("base").ValueKind == JsonValueKind.String;
        return new UnionType(
            _entryName,
            Doc(entry, ""),
            isNamed ? Text(entry, "base") : null,
            isNamed ? [] : Members(entry, "base"),
            Text(entry, "discriminator") ?? throw new SchemaException(Where, "a union needs a discriminator"),
            [.. entry.GetProperty("data").EnumerateObject().Select(branch => new UnionBranch(branch.Name, branch.Value.GetString()!))],
            Features(entry));
    }

    private List<EnumValue> ReadEnumValues(JsonElement list)
    {
        var values = new List<EnumValue>();
        foreach (JsonElement value in list.EnumerateArray())
        {
            Allow(value, "name", "doc", "planned", "features", "since");
            string name = value.GetProperty("name").GetString()!;
            values.Add(new EnumValue(name, Doc(value, name), IsPlanned(value), Features(value), Text(value, "since")));
        }

        return values;
    }

    private List<Member> Members(JsonElement entry, string key)
    {
        var members = new List<Member>();
        foreach (JsonProperty property in entry.GetProperty(key).EnumerateObject())
        {
            Allow(property.Value, "type", "doc", "planned", "default", "features", "since");
            bool isOptional = property.Name.StartsWith('*');
            string name = isOptional ? property.Name[1..] : property.Name;
            members.Add(new Member(
                name,
                ReadTypeReference(property.Value.GetProperty("type")),
                isOptional,
                IsPlanned(property.Value),
                Doc(property.Value, name),
                property.Value.TryGetProperty("default", out JsonElement value) ? value.GetRawText() : null,
                Features(property.Value),
                Text(property.Value, "since")));
        }

        return members;
    }

    private static TypeReference ReadTypeReference(JsonElement type) =>
        type.ValueKind == JsonValueKind.Array ? new TypeReference(type[0].GetString()!, true) : new TypeReference(type.GetString()!, false);

    private static List<string> Features(JsonElement element) =>
        element.TryGetProperty("features", out JsonElement features) ? [.. features.EnumerateArray().Select(name => name.GetString()!)] : [];

    private static string? Text(JsonElement element, string key) =>
        element.TryGetProperty(key, out JsonElement value) ? value.GetString() : null;

    private static bool Flag(JsonElement element, string key) =>
        element.TryGetProperty(key, out JsonElement value) && value.GetBoolean();

    private bool IsPlanned(JsonElement element) => !_withPlanned && Flag(element, "planned");

    private string Doc(JsonElement element, string what) => Text(element, "doc") is { Length: > 0 } doc
        ? doc
        : throw new SchemaException(Where, what.Length == 0 ? "has no doc" : $"'{what}' has no doc");

    private void Allow(JsonElement element, params ReadOnlySpan<string> keys)
    {
        foreach (JsonProperty property in element.EnumerateObject())
        {
            if (!keys.Contains(property.Name))
            {
                throw new SchemaException(Where, $"unknown key '{property.Name}'");
            }
        }
    }
}
