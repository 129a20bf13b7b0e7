using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator.Emit;

/// <summary>Emits <c>QapiEvents</c>: one method per event, on the sink that takes them.</summary>
internal static class EventEmitter
{
    public static void Emit(CodeWriter code, Schema schema)
    {
        var syntax = new TypeSyntax(schema);
        code.Summary("Sends events: required data first, optional data by name.").Open("public static class QapiEvents");
        foreach (Event entry in schema.Events.Where(entry => !entry.IsPlanned))
        {
            code.Summary(entry.Doc);
            string method = $"public static void {Names.Pascal(entry.Name)}(this IEventSink events";
            if (entry.Data is null)
            {
                code.Line($"{method}) => events.Emit<IQapiOutput>(\"{entry.Name}\", null);").Line();
                continue;
            }

            List<Member> members = [.. schema.MembersOf(schema.Resolve(entry.Data, entry.Name))];
            string parameters = string.Concat(members.OrderBy(member => member.IsNullable).Select(member =>
                $", {syntax.MemberType(member)} {Names.Camel(member.Name)}{(member.IsNullable ? " = null" : "")}"));
            string values = string.Join(", ", members.Select(member => $"{Names.Pascal(member.Name)} = {Names.Camel(member.Name)}"));
            code.Line($"{method}{parameters}) => events.Emit(\"{entry.Name}\", new {entry.Data} {{ {values} }});").Line();
        }

        code.Close();
    }
}
