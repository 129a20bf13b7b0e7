using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator.Emit;

/// <summary>Builds the answer to <c>query-qmp-schema</c>: the implemented schema as a flat list of SchemaInfo.</summary>
/// <remarks>
/// Type names are numbers, given at first use, so that clients cannot lean on the names of types; only commands, events and members
/// have names of the wire. A list of type 7 is <c>[7]</c>; every integer is <c>int</c>; an object without members is type 0.
/// </remarks>
internal sealed class IntrospectionEmitter
{
    private const string EmptyObject = "0";

    private readonly Schema _schema;
    private readonly Utf8JsonWriter _json;
    private readonly Dictionary<string, string> _numbers = [];
    private readonly HashSet<string> _arrays = [];
    private readonly Queue<Action> _pending = [];
    private int _lastNumber;

    private readonly bool _showsNewer;

    private IntrospectionEmitter(Schema schema, Utf8JsonWriter json, bool showsNewer)
    {
        _schema = schema;
        _showsNewer = showsNewer;
        _json = json;
    }

    /// <summary>The answer as one line of JSON.</summary>
    /// <param name="schema">The schema.</param>
    /// <param name="showsNewer">With the members of replies that QEMU after 7.2 added.</param>
    public static string Build(Schema schema, bool showsNewer = false)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            new IntrospectionEmitter(schema, json, showsNewer).WriteAll();
        }

        return Encoding.UTF8.GetString(stream.ToArray());
    }

    public static void Emit(CodeWriter code, Schema schema)
    {
        code.Summary("The schema as clients may ask for it.").Open("public static class QapiSchema");
        code.Summary("The answer to <c>query-qmp-schema</c>, UTF-8 JSON on one line.");
        code.Line($"public static ReadOnlySpan<byte> Introspection => \"\"\"{Build(schema)}\"\"\"u8;").Line();
        code.Summary("The same for clients that want the members of replies that QEMU after 7.2 added.");
        code.Line($"public static ReadOnlySpan<byte> NewerIntrospection => \"\"\"{Build(schema, showsNewer: true)}\"\"\"u8;").Close();
    }

    private void WriteAll()
    {
        _json.WriteStartArray();
        foreach (Command command in _schema.Commands.Where(command => !command.IsPlanned))
        {
            WriteEntity(command.Name, "command", command.Features, () =>
            {
                _json.WriteString("arg-type", ObjectName(command.Data));
                _json.WriteString("ret-type", command.Returns is { } returns ? NameOf(returns) : ObjectName(null));
                if (command.Traits.HasFlag(CommandTraits.AllowOob))
                {
                    _json.WriteBoolean("allow-oob", true);
                }
            });
        }

        foreach (Event entry in _schema.Events.Where(entry => !entry.IsPlanned))
        {
            WriteEntity(entry.Name, "event", entry.Features, () => _json.WriteString("arg-type", ObjectName(entry.Data)));
        }

        while (_pending.TryDequeue(out Action? write))
        {
            write();
        }

        _json.WriteEndArray();
    }

    private void WriteEntity(string name, string metaType, IReadOnlyList<string> features, Action body)
    {
        _json.WriteStartObject();
        _json.WriteString("name", name);
        _json.WriteString("meta-type", metaType);
        body();
        WriteFeatures(features);
        _json.WriteEndObject();
    }

    private string ObjectName(string? data)
    {
        if (data is not null)
        {
            return NameOf(new TypeReference(data, false));
        }

        if (_numbers.TryAdd("", EmptyObject))
        {
            _pending.Enqueue(() => WriteEntity(EmptyObject, "object", [], () =>
            {
                _json.WriteStartArray("members");
                _json.WriteEndArray();
            }));
        }

        return EmptyObject;
    }

    private string NameOf(TypeReference reference)
    {
        string element = NameOf(_schema.Resolve(reference.Name, reference.Name));
        if (!reference.IsList)
        {
            return element;
        }

        string name = $"[{element}]";
        if (_arrays.Add(name))
        {
            _pending.Enqueue(() => WriteEntity(name, "array", [], () => _json.WriteString("element-type", element)));
        }

        return name;
    }

    private string NameOf(SchemaType type)
    {
        string key = type is BuiltinType builtinType ? builtinType.Introspected : type.Name;
        if (!_numbers.TryGetValue(key, out string? name))
        {
            name = type is BuiltinType ? key : (++_lastNumber).ToString();
            _numbers.Add(key, name);
            _pending.Enqueue(() => WriteType(name, type));
        }

        return name;
    }

    private void WriteType(string name, SchemaType type)
    {
        switch (type)
        {
            case BuiltinType builtin:
                WriteEntity(name, "builtin", [], () => _json.WriteString("json-type", builtin.JsonType));
                break;
            case EnumType enumType:
                WriteEntity(name, "enum", enumType.Features, () => WriteEnumBody(enumType));
                break;
            case StructType structType:
                WriteEntity(name, "object", structType.Features, () => WriteMembers(type));
                break;
            case UnionType union:
                WriteEntity(name, "object", union.Features, () => WriteUnionBody(union));
                break;
            case AlternateType alternate:
                WriteEntity(name, "alternate", [], () => WriteAlternateBody(alternate));
                break;
        }
    }

    private void WriteEnumBody(EnumType type)
    {
        _json.WriteStartArray("members");
        foreach (EnumValue value in Shown(type))
        {
            _json.WriteStartObject();
            _json.WriteString("name", value.Name);
            WriteFeatures(value.Features);
            _json.WriteEndObject();
        }

        _json.WriteEndArray();
        _json.WriteStartArray("values");
        foreach (EnumValue value in Shown(type))
        {
            _json.WriteStringValue(value.Name);
        }

        _json.WriteEndArray();
    }

    private bool IsShown(string? since) => _showsNewer || since is null;

    private IEnumerable<EnumValue> Shown(EnumType type) => type.Values.Where(value => IsShown(value.Since));

    private void WriteMembers(SchemaType type)
    {
        _json.WriteStartArray("members");
        foreach (Member member in _schema.MembersOf(type).Where(member => IsShown(member.Since)))
        {
            _json.WriteStartObject();
            _json.WriteString("name", member.Name);
            _json.WriteString("type", NameOf(member.Type));
            if (member.IsOptional)
            {
                _json.WriteNull("default");
            }

            WriteFeatures(member.Features);
            _json.WriteEndObject();
        }

        _json.WriteEndArray();
    }

    private void WriteUnionBody(UnionType union)
    {
        WriteMembers(union);
        _json.WriteString("tag", union.Discriminator);
        _json.WriteStartArray("variants");
        foreach (EnumValue value in Shown(_schema.DiscriminatorOf(union)))
        {
            _json.WriteStartObject();
            _json.WriteString("case", value.Name);
            _json.WriteString("type", ObjectName(union.AllBranches.FirstOrDefault(branch => branch.Value == value.Name)?.Type));
            _json.WriteEndObject();
        }

        _json.WriteEndArray();
    }

    private void WriteAlternateBody(AlternateType alternate)
    {
        _json.WriteStartArray("members");
        foreach (Member member in alternate.Alternatives)
        {
            _json.WriteStartObject();
            _json.WriteString("type", NameOf(member.Type));
            _json.WriteEndObject();
        }

        _json.WriteEndArray();
    }

    private void WriteFeatures(IReadOnlyList<string> features)
    {
        if (features.Count == 0)
        {
            return;
        }

        _json.WriteStartArray("features");
        foreach (string feature in features)
        {
            _json.WriteStringValue(feature);
        }

        _json.WriteEndArray();
    }
}
