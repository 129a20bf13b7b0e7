using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator.Emit;

/// <summary>Emits <c>QapiDocs</c>: what the schema says in prose, entry by entry, as JSON (<c>SchemaDoc</c>).</summary>
internal sealed class DocsEmitter
{
    private readonly Schema _schema;
    private readonly Utf8JsonWriter _json;

    private DocsEmitter(Schema schema, Utf8JsonWriter json)
    {
        _schema = schema;
        _json = json;
    }

    public static void Emit(CodeWriter code, Schema schema, Reachability reachability)
    {
        var entries = new List<(string Name, string Json)>();
        foreach (Command command in schema.Commands.Where(command => !command.IsPlanned))
        {
            entries.Add((command.Name, Build(schema, docs => docs.WriteEntry(command.Name, "command", command.Doc, command.Data, command.Returns))));
        }

        foreach (Event entry in schema.Events.Where(entry => !entry.IsPlanned))
        {
            entries.Add((entry.Name, Build(schema, docs => docs.WriteEntry(entry.Name, "event", entry.Doc, entry.Data, null))));
        }

        int named = entries.Count;
        foreach (SchemaType type in schema.Types.Where(type => reachability.Inputs.Contains(type.Name) || reachability.Outputs.Contains(type.Name)))
        {
            entries.Add((type.Name, Build(schema, docs => docs.WriteType(type))));
        }

        code.Summary("What the schema says of its entries.").Open("public static class QapiDocs");
        code.Summary("The commands and events, in the schema's order.");
        string names = string.Join(", ", entries.Take(named).Select(entry => $"\"{entry.Name}\""));
        code.Line($"public static IReadOnlyList<string> Names {{ get; }} = [{names}];").Line();
        code.Summary("What is said of a command, event or type, as JSON; empty when there is none of that name.");
        code.Open("public static ReadOnlySpan<byte> Find(string name) => name switch");
        foreach ((string name, string json) in entries)
        {
            code.Line($"\"{name}\" => \"\"\"\"{json}\"\"\"\"u8,");
        }

        code.Line("_ => default,").Close(";").Close();
    }

    private static string Build(Schema schema, Action<DocsEmitter> write)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            write(new DocsEmitter(schema, json));
        }

        return Encoding.UTF8.GetString(stream.ToArray());
    }

    private void WriteEntry(string name, string metaType, string doc, string? data, TypeReference? returns)
    {
        Begin(name, metaType, doc);
        if (returns is { } type)
        {
            _json.WriteString("returns", type.ToString());
        }

        if (data is not null)
        {
            WriteBody(_schema.Resolve(data, name));
        }

        _json.WriteEndObject();
    }

    private void WriteType(SchemaType type)
    {
        Begin(type.Name, type is EnumType ? "enum" : type is AlternateType ? "alternate" : "object", type.Doc);
        WriteBody(type);
        _json.WriteEndObject();
    }

    private void Begin(string name, string metaType, string doc)
    {
        _json.WriteStartObject();
        _json.WriteString("name", name);
        _json.WriteString("meta-type", metaType);
        _json.WriteString("doc", doc);
    }

    private void WriteBody(SchemaType type)
    {
        _json.WriteStartArray("members");
        switch (type)
        {
            case EnumType enumType:
                foreach (EnumValue value in enumType.Values)
                {
                    WriteMember(value.Name, null, value.Doc, null);
                }

                break;
            case AlternateType alternate:
                WriteMembers(alternate.Alternatives);
                break;
            default:
                WriteMembers(_schema.MembersOf(type));
                break;
        }

        _json.WriteEndArray();
        if (type is UnionType union)
        {
            _json.WriteString("tag", union.Discriminator);
            _json.WriteStartArray("variants");
            foreach (UnionBranch branch in _schema.BranchesOf(union))
            {
                _json.WriteStartObject();
                _json.WriteString("case", branch.Value);
                _json.WriteString("type", branch.Type);
                _json.WriteEndObject();
            }

            _json.WriteEndArray();
        }
    }

    private void WriteMembers(IEnumerable<Member> members)
    {
        foreach (Member member in members)
        {
            WriteMember(member.Name, member.Type.ToString(), member.Doc, member.Default);
        }
    }

    private void WriteMember(string name, string? type, string doc, string? defaultValue)
    {
        _json.WriteStartObject();
        _json.WriteString("name", name);
        if (type is not null)
        {
            _json.WriteString("type", type);
        }

        _json.WriteString("doc", doc);
        if (defaultValue is not null)
        {
            _json.WriteString("default", defaultValue);
        }

        _json.WriteEndObject();
    }
}
