using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator.Emit;

/// <summary>Emits each module's interface, its handlers, and <c>QapiCommands</c>, which puts them into the command table.</summary>
internal sealed class CommandEmitter(Schema schema)
{
    /// <summary>The module whose interface runs every command that is a transaction of one.</summary>
    private const string ActionModule = "transaction";

    private readonly TypeSyntax _syntax = new(schema);

    public void Emit(CodeWriter code)
    {
        List<string> modules = [.. schema.Commands.Where(command => command.HasMethod).Select(command => command.Module).Distinct()];
        foreach (string module in modules)
        {
            EmitInterface(code, module);
            EmitHandlers(code, module);
        }

        code.Summary("Puts the commands of the schema into a command table.").Open("public static class QapiCommands");
        code.Summary("The commands that a session answers itself.");
        string sessionCommands = string.Join(", ", schema.Commands
            .Where(command => command.Traits.HasFlag(CommandTraits.Session) && !command.IsPlanned)
            .Select(command => $"\"{command.Name}\""));
        code.Line($"public static IReadOnlyList<string> SessionCommands {{ get; }} = [{sessionCommands}];").Line();
        foreach (string module in modules)
        {
            EmitRegister(code, module);
        }

        code.Close();
    }

    private static string Interface(string module) => $"I{Names.Pascal(module)}Commands";

    private static string Method(Command command) => Names.Pascal(command.Name);

    private static string Parameters(Command command) => Join(command, $"{command.Data} arguments", "IQmpSessionInfo session");

    private static string Values(Command command) => Join(command, "arguments", "reply.Session");

    private static string Join(Command command, string arguments, string session)
    {
        string[] parts = [.. command.Data is null ? Array.Empty<string>() : [arguments], .. command.Traits.HasFlag(CommandTraits.TakesSession) ? [session] : Array.Empty<string>()];
        return string.Join(", ", parts);
    }

    private string Result(Command command) => command.Returns is { } type ? $"ValueTask<{_syntax.Name(type)}>" : "ValueTask";

    private List<Command> Methods(string module) => [.. schema.Commands.Where(command => command.HasMethod && command.Module == module)];

    private List<Command> Actions(string module) =>
        module == ActionModule ? [.. schema.Commands.Where(command => command.Action is not null && !command.IsPlanned)] : [];

    private void EmitInterface(CodeWriter code, string module)
    {
        code.Summary($"The commands of the schema's module {module}: one method each.").Open($"public interface {Interface(module)}");
        foreach (Command command in Methods(module))
        {
            code.Summary($"<c>{command.Name}</c>: {command.Doc}");
            code.Line($"{Result(command)} {Method(command)}Async({Parameters(command)});").Line();
        }

        if (module == ActionModule)
        {
            code.Summary("Runs a command that is a transaction of one action.").Line("ValueTask RunActionAsync(TransactionAction action);");
        }

        code.Close().Line();
    }

    private void EmitHandlers(CodeWriter code, string module)
    {
        code.Open($"internal sealed class {Names.Pascal(module)}Handlers({Interface(module)} commands)");
        foreach (Command command in Methods(module))
        {
            code.Open($"internal ValueTask Run{Method(command)}(QmpInputVisitor visitor, IQmpReply reply)");
            EmitReadArguments(code, command);
            string call = $"commands.{Method(command)}Async({Values(command)})";
            if (command.Returns is { } returns)
            {
                EmitReturn(code, command, returns, call);
            }
            else
            {
                code.Line($"return {call};");
            }

            code.Close().Line();
        }

        foreach (Command command in Actions(module))
        {
            code.Open($"internal ValueTask Run{Method(command)}(QmpInputVisitor visitor, IQmpReply reply)");
            EmitReadArguments(code, command);
            code.Line($"return commands.RunActionAsync({ActionSyntax.Construct(schema, command)});").Close().Line();
        }

        code.Close().Line();
    }

    private void EmitReadArguments(CodeWriter code, Command command)
    {
        if (command.Data is { } data)
        {
            code.Line($"{data} arguments = {_syntax.Read(new TypeReference(data, false), "null")};");
        }
        else
        {
            code.Line("visitor.StartStruct(null);").Line("visitor.CheckStruct();").Line("visitor.EndStruct();");
        }
    }

    /// <summary>A result that is there at once is written without a state machine.</summary>
    private void EmitReturn(CodeWriter code, Command command, TypeReference returns, string call)
    {
        code.Line($"{Result(command)} result = {call};");
        code.Open("if (result.IsCompletedSuccessfully)");
        code.Line("WriteResult(reply.Writer, result.Result);").Line("return default;").Close().Line();
        code.Line("return AwaitResultAsync(result, reply);").Line();
        code.Line($"static void WriteResult(JsonWriter writer, {_syntax.Name(returns)} value) =>");
        code.Line($"    {_syntax.WriteValue(returns, "value")}").Line();
        code.Line($"static async ValueTask AwaitResultAsync({Result(command)} result, IQmpReply reply) =>");
        code.Line("    WriteResult(reply.Writer, await result);");
    }

    private void EmitRegister(CodeWriter code, string module)
    {
        string note = module == ActionModule ? ", and every command that is a transaction of one action" : "";
        code.Summary($"Adds the commands of module {module}{note}.");
        code.Open($"public static void Register{Names.Pascal(module)}(QmpCommandTable table, {Interface(module)} commands)");
        code.Line($"var handlers = new {Names.Pascal(module)}Handlers(commands);");
        foreach (Command command in Methods(module).Concat(Actions(module)))
        {
            code.Line($"table.Add(new QmpCommand(\"{command.Name}\", {Options(command)}, handlers.Run{Method(command)}));");
        }

        code.Close().Line();
    }

    private static string Options(Command command)
    {
        var options = new List<string>();
        if (command.Traits.HasFlag(CommandTraits.AllowOob))
        {
            options.Add("QmpCommandOptions.AllowOob");
        }

        if (command.Returns is not null)
        {
            options.Add("QmpCommandOptions.ReturnsValue");
        }

        if (command.Traits.HasFlag(CommandTraits.Lockless))
        {
            options.Add("QmpCommandOptions.Lockless");
        }

        return options.Count == 0 ? "QmpCommandOptions.None" : string.Join(" | ", options);
    }
}
