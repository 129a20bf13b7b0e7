using Monitor.Qapi.Generator;
using Monitor.Qapi.Generator.Emit;
using Monitor.Qapi.Generator.Model;
using NUnit.Framework;

namespace Unit.Qapi;

public sealed class GeneratorTests
{
    [Test]
    public void An_enum_becomes_an_enum_and_its_wire_words()
    {
        string code = Generate("""
            [{ "enum": "Color", "doc": "D.", "data": [{ "name": "dark-red", "doc": "D." }, { "name": "2tone", "doc": "D." }] },
             { "event": "PAINTED", "doc": "D.", "data": { "color": { "type": "Color", "doc": "D." } } }]
            """);
        Assert.That(code, Does.Contain("public enum Color"));
        Assert.That(code, Does.Contain("Color.DarkRed => \"dark-red\""));
        Assert.That(code, Does.Contain("case \"2tone\": value = Color._2tone; return true;"));
    }

    [Test]
    public void A_struct_reads_its_base_first_and_its_optional_members_only_when_present()
    {
        string code = Generate("""
            [{ "struct": "Base", "doc": "D.", "data": { "id": { "type": "str", "doc": "D." } } },
             { "struct": "Derived", "doc": "D.", "base": "Base", "data": { "*max-size": { "type": "uint32", "doc": "D." } } },
             { "command": "make", "doc": "D.", "data": "Derived" }]
            """);
        Assert.That(code, Does.Contain("public required string Id { get; init; }"));
        Assert.That(code, Does.Contain("public uint? MaxSize { get; init; }"));
        Assert.That(code, Does.Contain("Id = visitor.ReadString(\"id\"),"));
        Assert.That(code, Does.Contain("MaxSize = visitor.HasMember(\"max-size\") ? visitor.ReadUInt32(\"max-size\") : null,"));
        Assert.That(code.IndexOf("Id = visitor", StringComparison.Ordinal), Is.LessThan(code.IndexOf("MaxSize = visitor", StringComparison.Ordinal)));
    }

    [Test]
    public void A_type_that_only_clients_send_has_no_writer_and_one_that_only_we_send_no_reader()
    {
        string code = Generate("""
            [{ "struct": "In", "doc": "D.", "data": { "a": { "type": "int", "doc": "D." } } },
             { "struct": "Out", "doc": "D.", "data": { "b": { "type": "int", "doc": "D." } } },
             { "command": "turn", "doc": "D.", "data": "In", "returns": ["Out"] }]
            """);
        Assert.That(code, Does.Contain("public static In Read(").And.Not.Contain("class In : IQapiOutput"));
        Assert.That(code, Does.Contain("class Out : IQapiOutput").And.Not.Contain("public static Out Read("));
        Assert.That(code, Does.Contain("void Write(JsonWriter writer, IReadOnlyList<Out> list)"));
    }

    [Test]
    public void A_newer_member_is_written_and_introspected_only_when_asked_for()
    {
        const string Json = """
            [{ "struct": "Out", "doc": "D.", "data": { "a": { "type": "int", "doc": "D." }, "b": { "type": "int", "doc": "D.", "since": "9.0" } } },
             { "command": "ask", "doc": "D.", "returns": "Out" }]
            """;
        Assert.That(Generate(Json), Does.Contain("if (ReplyExtensions.ShowsNewerMembers && B is { } bValue)").And.Contain("public long? B { get; init; }"));
        var schema = new Schema();
        SchemaReader.ReadModule(schema, "test", Json);
        Assert.That(IntrospectionEmitter.Build(schema), Does.Not.Contain("\"b\""));
        Assert.That(IntrospectionEmitter.Build(schema, showsNewer: true), Does.Contain("{\"name\":\"b\",\"type\":\"int\"}"));
    }

    [Test]
    public void A_newer_member_in_what_clients_send_is_an_error_of_the_schema() =>
        Assert.Throws<SchemaException>(() => Generate("""
            [{ "command": "tell", "doc": "D.", "data": { "*b": { "type": "int", "doc": "D.", "since": "9.0" } } }]
            """));

    [Test]
    public void A_union_reads_the_members_that_its_discriminator_adds()
    {
        string code = Generate("""
            [{ "enum": "Kind", "doc": "D.", "data": [{ "name": "a", "doc": "D." }, { "name": "b", "doc": "D." }] },
             { "struct": "KindA", "doc": "D.", "data": { "x": { "type": "bool", "doc": "D." } } },
             { "union": "Thing", "doc": "D.", "base": { "kind": { "type": "Kind", "doc": "D." } }, "discriminator": "kind", "data": { "a": "KindA" } },
             { "command": "make", "doc": "D.", "data": "Thing" }]
            """);
        Assert.That(code, Does.Contain("Kind.A => KindA.ReadMembers(visitor),"));
        Assert.That(code, Does.Contain("public KindA A => (KindA)Branch!;"));
        Assert.That(code, Does.Contain("ValueTask MakeAsync(Thing arguments);"));
    }

    [Test]
    public void An_alternate_chooses_by_the_kind_of_the_value()
    {
        string code = Generate("""
            [{ "alternate": "NameOrNull", "doc": "D.", "data": { "name": { "type": "str", "doc": "D." }, "null": { "type": "null", "doc": "D." } } },
             { "command": "make", "doc": "D.", "data": { "of": { "type": "NameOrNull", "doc": "D." } } }]
            """);
        Assert.That(code, Does.Contain("QmpValueKind.String => new NameOrNull { Name = visitor.ReadString(name) },"));
        Assert.That(code, Does.Contain("QmpValueKind.Null => new NameOrNull { Null = QmpNull.Read(visitor, name) },"));
        Assert.That(code, Does.Contain("throw visitor.InvalidAlternate(name, \"NameOrNull\")"));
    }

    [Test]
    public void An_event_takes_required_data_first_and_skips_planned_members()
    {
        string code = Generate("""
            [{ "event": "IT_HAPPENED", "doc": "D.", "data": {
                 "*when": { "type": "int", "doc": "D." }, "operator": { "type": "str", "doc": "D." },
                 "*later": { "type": "int", "doc": "D.", "planned": true } } }]
            """);
        Assert.That(code, Does.Contain("ItHappened(this IEventSink events, string @operator, long? when = null)"));
        Assert.That(code, Does.Contain("new ItHappenedEvent { When = when, Operator = @operator }"));
        Assert.That(code, Does.Not.Contain("ater"));
    }

    [Test]
    public void A_command_that_is_a_transaction_of_one_wraps_its_arguments_and_has_no_method()
    {
        string code = Generate("""
            [{ "enum": "TransactionActionKind", "doc": "D.", "data": [{ "name": "dye", "doc": "D." }] },
             { "struct": "Dye", "doc": "D.", "data": { "hue": { "type": "int", "doc": "D." } } },
             { "struct": "DyeWrapper", "doc": "D.", "data": { "data": { "type": "Dye", "doc": "D." } } },
             { "union": "TransactionAction", "doc": "D.", "base": { "type": { "type": "TransactionActionKind", "doc": "D." } },
               "discriminator": "type", "data": { "dye": "DyeWrapper" } },
             { "command": "dye", "doc": "D.", "data": "Dye", "action": "dye" },
             { "command": "transaction", "doc": "D.", "data": { "actions": { "type": ["TransactionAction"], "doc": "D." } } }]
            """, "transaction");
        Assert.That(code, Does.Contain(
            "commands.RunActionAsync(new TransactionAction { Type = TransactionActionKind.Dye, Branch = new DyeWrapper { Data = arguments } })"));
        Assert.That(code, Does.Not.Contain("DyeAsync"));
        Assert.That(code, Does.Contain("new QmpCommand(\"dye\", QmpCommandOptions.None, handlers.RunDye)"));
    }

    [Test]
    public void What_is_planned_is_neither_generated_nor_introspected()
    {
        const string json = """
            [{ "enum": "Kind", "doc": "D.", "data": [{ "name": "here", "doc": "D." }, { "name": "later", "doc": "D.", "planned": true }] },
             { "struct": "Later", "doc": "D.", "data": { "thing": { "type": "int", "doc": "D." } } },
             { "union": "Thing", "doc": "D.", "base": { "kind": { "type": "Kind", "doc": "D." } }, "discriminator": "kind", "data": { "later": "Later" } },
             { "command": "make", "doc": "D.", "data": "Thing" },
             { "command": "make-later", "doc": "D.", "planned": true },
             { "event": "LATER", "doc": "D.", "planned": true }]
            """;
        Schema schema = Read(json, "misc");
        string introspection = IntrospectionEmitter.Build(schema);
        Assert.That(Generate(json), Does.Not.Contain("ater"));
        Assert.That(introspection, Does.Not.Contain("later").IgnoreCase);
        Assert.That(introspection, Does.Contain("\"variants\":[{\"case\":\"here\",\"type\":\"0\"}]"));
    }

    [TestCase("""[{ "struct": "S", "data": {} }]""", "misc.json: S: has no doc")]
    [TestCase("""[{ "struct": "S", "doc": "D.", "data": { "a": { "type": "int" } } }]""", "misc.json: S: 'a' has no doc")]
    [TestCase("""[{ "struct": "S", "doc": "D.", "data": {} }]""", "misc.json: S: nothing uses this type")]
    [TestCase("""[{ "command": "c", "doc": "D.", "returns": "Nowhere" }]""", "misc.json: c: unknown type 'Nowhere'")]
    [TestCase("""[{ "command": "c", "doc": "D.", "planed": true }]""", "misc.json: c: unknown key 'planed'")]
    [TestCase("""[{ "event": "E", "doc": "D." }, { "event": "E", "doc": "D." }]""", "events: 'E' occurs twice")]
    public void A_schema_that_breaks_the_rules_is_refused(string json, string message)
    {
        SchemaException? error = Assert.Throws<SchemaException>(() => SchemaChecker.Check(Read(json, "misc")));
        Assert.That(error!.Message, Is.EqualTo(message));
    }

    private static Schema Read(string json, string module)
    {
        var schema = new Schema();
        SchemaReader.ReadModule(schema, module, json);
        return schema;
    }

    private static string Generate(string json, string module = "misc")
    {
        Schema schema = Read(json, module);
        SchemaChecker.Check(schema);
        return string.Concat(GeneratedSource.Make(schema).Where(file => file.Key != "QapiSchema.g.cs").Select(file => file.Value));
    }
}
