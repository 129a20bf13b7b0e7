using Monitor.Qapi.Json;

namespace Monitor.Qapi;

/// <summary>The commands that say what exists; they are answered from the command table and the schema themselves.</summary>
public static class IntrospectCommands
{
    /// <summary>Adds <c>query-commands</c>, <c>query-qmp-schema</c> and <c>x-query-schema-docs</c> to the table that they describe.</summary>
    /// <param name="table">The command table.</param>
    public static void Register(QmpCommandTable table)
    {
        const QmpCommandOptions options = QmpCommandOptions.ReturnsValue | QmpCommandOptions.Lockless;
        table.Add(new QmpCommand("query-commands", options, (visitor, reply) => QueryCommands(table, visitor, reply)));
        table.Add(new QmpCommand("query-qmp-schema", options, QueryQmpSchema));
        table.Add(new QmpCommand("x-query-schema-docs", options, QuerySchemaDocs));
    }

    private static ValueTask QueryCommands(QmpCommandTable table, QmpInputVisitor visitor, IQmpReply reply)
    {
        ReadNoArguments(visitor);
        JsonWriter writer = reply.Writer;
        writer.WriteStartArray();
        foreach (string name in QapiCommands.SessionCommands)
        {
            WriteCommand(writer, name);
        }

        for (int i = 0; i < table.All.Count; i++)
        {
            WriteCommand(writer, table.All[i].Name);
        }

        writer.WriteEndArray();
        return default;
    }

    private static ValueTask QueryQmpSchema(QmpInputVisitor visitor, IQmpReply reply)
    {
        ReadNoArguments(visitor);
        reply.Writer.WriteRaw(ReplyExtensions.ShowsNewerMembers ? QapiSchema.NewerIntrospection : QapiSchema.Introspection);
        return default;
    }

    private static ValueTask QuerySchemaDocs(QmpInputVisitor visitor, IQmpReply reply)
    {
        visitor.StartStruct(null);
        string? name = visitor.HasMember("name") ? visitor.ReadString("name") : null;
        visitor.CheckStruct();
        visitor.EndStruct();
        if (name is not null && QapiDocs.Find(name).IsEmpty)
        {
            throw new QmpException($"The schema has no entry '{name}'");
        }

        JsonWriter writer = reply.Writer;
        writer.WriteStartArray();
        foreach (string entry in name is null ? QapiDocs.Names : [name])
        {
            writer.WriteRaw(QapiDocs.Find(entry));
        }

        writer.WriteEndArray();
        return default;
    }

    private static void ReadNoArguments(QmpInputVisitor visitor)
    {
        visitor.StartStruct(null);
        visitor.CheckStruct();
        visitor.EndStruct();
    }

    private static void WriteCommand(JsonWriter writer, string name)
    {
        writer.WriteStartObject();
        writer.WriteName("\"name\": "u8);
        writer.WriteString(name);
        writer.WriteEndObject();
    }
}
