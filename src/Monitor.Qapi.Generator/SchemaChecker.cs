using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator;

/// <summary>Checks what the entries of a schema say of each other, so that the emitters may rely on it.</summary>
internal static class SchemaChecker
{
    /// <exception cref="SchemaException">The first rule broken.</exception>
    public static void Check(Schema schema)
    {
        foreach (SchemaType type in schema.Types)
        {
            CheckType(schema, type);
        }

        foreach (Command command in schema.Commands)
        {
            CheckCommand(schema, command);
        }

        foreach (Event entry in schema.Events)
        {
            CheckObject(schema, entry.Data, $"{entry.Module}.json: {entry.Name}");
        }

        CheckUnique(schema.Commands.Select(command => command.Name), "commands");
        CheckUnique(schema.Events.Select(entry => entry.Name), "events");
        CheckEveryTypeIsUsed(schema);
        CheckNewerMembersAreOnlySent(schema);
    }

    private static void CheckType(Schema schema, SchemaType type)
    {
        string where = $"{schema.ModuleOf(type)}.json: {type.Name}";
        switch (type)
        {
            case EnumType enumType:
                CheckUnique(enumType.AllValues.Select(value => Names.Pascal(value.Name)), where);
                break;
            case StructType:
                CheckMembers(schema, type, where);
                break;
            case UnionType union:
                CheckMembers(schema, type, where);
                CheckBranches(schema, union, where);
                break;
            case AlternateType alternate:
                CheckUnique(alternate.Alternatives.Select(member => JsonKinds.Of(schema, alternate, member)), where);
                break;
        }
    }

    private static void CheckMembers(Schema schema, SchemaType type, string where)
    {
        CheckUnique(schema.AllMembersOf(type).Select(member => Names.Pascal(member.Name)), where);
        foreach (Member member in schema.AllMembersOf(type))
        {
            schema.Resolve(member.Type.Name, where);
            if (member.Default is not null && !member.IsOptional)
            {
                throw new SchemaException(where, $"'{member.Name}' has a default and is not optional");
            }
        }
    }

    private static void CheckBranches(Schema schema, UnionType union, string where)
    {
        EnumType discriminator = schema.DiscriminatorOf(union);
        foreach (UnionBranch branch in union.AllBranches)
        {
            if (discriminator.AllValues.All(value => value.Name != branch.Value))
            {
                throw new SchemaException(where, $"branch '{branch.Value}' is no value of {discriminator.Name}");
            }

            if (schema.Resolve(branch.Type, where) is not StructType branchType)
            {
                throw new SchemaException(where, $"branch '{branch.Value}' is not a struct");
            }

            CheckUnique(schema.AllMembersOf(union).Concat(schema.AllMembersOf(branchType)).Select(member => member.Name), where);
        }
    }

    private static void CheckCommand(Schema schema, Command command)
    {
        string where = $"{command.Module}.json: {command.Name}";
        CheckObject(schema, command.Data, where);
        if (command.Returns is { } returns)
        {
            schema.Resolve(returns.Name, where);
        }

        if (command.Action is null || command.IsPlanned)
        {
            return;
        }

        if (command.Returns is not null || command.Data is null || ActionSyntax.FindWrapper(schema, command) is null)
        {
            throw new SchemaException(
                where, "an action needs a TransactionAction branch whose one member 'data' is of the command's argument type");
        }
    }

    private static void CheckObject(Schema schema, string? name, string where)
    {
        if (name is not null && schema.Resolve(name, where) is not (StructType or UnionType))
        {
            throw new SchemaException(where, $"data '{name}' is neither struct nor union");
        }
    }

    private static void CheckEveryTypeIsUsed(Schema schema)
    {
        HashSet<string> used = Reachability.OfDeclared(schema);
        foreach (SchemaType type in schema.Types)
        {
            if (!used.Contains(type.Name))
            {
                throw new SchemaException($"{schema.ModuleOf(type)}.json: {type.Name}", "nothing uses this type");
            }
        }
    }

    private static void CheckUnique(IEnumerable<string> names, string where)
    {
        var seen = new HashSet<string>();
        foreach (string name in names)
        {
            if (!seen.Add(name))
            {
                throw new SchemaException(where, $"'{name}' occurs twice");
            }
        }
    }

    private static void CheckNewerMembersAreOnlySent(Schema schema)
    {
        foreach (string name in Reachability.OfImplemented(schema).Inputs)
        {
            SchemaType type = schema.Resolve(name, name);
            bool isNewer = type switch
            {
                EnumType enumType => enumType.Values.Any(value => value.Since is not null),
                StructType or UnionType => schema.MembersOf(type).Any(member => member.Since is not null),
                _ => false,
            };
            if (isNewer)
            {
                throw new SchemaException(name, "clients send it, so nothing in it can depend on what they see");
            }
        }
    }
}
