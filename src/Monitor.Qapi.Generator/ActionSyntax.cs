using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator;

/// <summary>Finds how a command that is a transaction of one becomes a <c>TransactionAction</c>.</summary>
internal static class ActionSyntax
{
    private const string ActionUnion = "TransactionAction";

    /// <summary>The branch struct that wraps the command's arguments in its only member <c>data</c>, or <see langword="null"/>.</summary>
    public static string? FindWrapper(Schema schema, Command command)
    {
        var union = (UnionType)schema.Resolve(ActionUnion, command.Name);
        UnionBranch? branch = schema.BranchesOf(union).FirstOrDefault(branch => branch.Value == command.Action);
        return branch is not null && schema.AllMembersOf(schema.Resolve(branch.Type, union.Name)).ToList() is [{ Name: "data" } data]
            && data.Type == new TypeReference(command.Data!, false)
            ? branch.Type
            : null;
    }

    /// <summary>The C# expression that makes the action from <c>arguments</c>.</summary>
    public static string Construct(Schema schema, Command command)
    {
        EnumType kind = schema.DiscriminatorOf((UnionType)schema.Resolve(ActionUnion, command.Name));
        return $"new {ActionUnion} {{ Type = {kind.Name}.{Names.Pascal(command.Action!)}, "
            + $"Branch = new {FindWrapper(schema, command)} {{ Data = arguments }} }}";
    }
}
