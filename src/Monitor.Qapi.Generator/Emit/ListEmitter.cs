using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator.Emit;

/// <summary>Emits <c>QapiLists</c>: one reader or writer per element type that occurs in a list.</summary>
internal static class ListEmitter
{
    public static void Emit(CodeWriter code, Schema schema, Reachability reachability)
    {
        var syntax = new TypeSyntax(schema);
        code.Summary("Reads and writes lists of the wire.").Open("internal static class QapiLists");
        foreach (string element in reachability.InputLists)
        {
            string type = syntax.Name(new TypeReference(element, false));
            code.Open($"internal static IReadOnlyList<{type}> {syntax.ListReader(element)}(QmpInputVisitor visitor, string? name)");
            code.Line($"var list = new List<{type}>();").Line("visitor.StartList(name);");
            code.Open("while (visitor.NextItem())").Line($"list.Add({syntax.Read(new TypeReference(element, false), "null")});").Close();
            code.Line("visitor.EndList();").Line("return list;").Close().Line();
        }

        var written = new HashSet<string>();
        foreach (string element in reachability.OutputLists)
        {
            string type = syntax.Name(new TypeReference(element, false));
            if (!written.Add(type))
            {
                continue;
            }

            code.Open($"internal static void Write(JsonWriter writer, IReadOnlyList<{type}> list)").Line("writer.WriteStartArray();");
            code.Open("for (int i = 0; i < list.Count; i++)").Line(syntax.WriteValue(new TypeReference(element, false), "list[i]")).Close();
            code.Line("writer.WriteEndArray();").Close().Line();
        }

        code.Close();
    }
}
