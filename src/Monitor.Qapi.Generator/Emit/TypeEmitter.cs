using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator.Emit;

/// <summary>Emits the C# of one declared type.</summary>
internal sealed class TypeEmitter(Schema schema, Reachability reachability)
{
    private readonly TypeSyntax _syntax = new(schema);
    private readonly MemberEmitter _members = new(new TypeSyntax(schema));

    /// <summary>Emits <paramref name="type"/> if anything implemented uses it.</summary>
    public void Emit(CodeWriter code, SchemaType type)
    {
        bool isInput = reachability.Inputs.Contains(type.Name);
        bool isOutput = reachability.Outputs.Contains(type.Name);
        if (!isInput && !isOutput)
        {
            return;
        }

        switch (type)
        {
            case EnumType enumType:
                EmitEnum(code, enumType, isInput, isOutput);
                break;
            case StructType:
                EmitStruct(code, type, isInput, isOutput);
                break;
            case UnionType union:
                EmitUnion(code, union, isInput, isOutput);
                break;
            case AlternateType alternate:
                EmitAlternate(code, alternate, isInput, isOutput);
                break;
        }
    }

    private static void EmitEnum(CodeWriter code, EnumType type, bool isInput, bool isOutput)
    {
        code.Summary(type.Doc).Open($"public enum {type.Name}");
        foreach (EnumValue value in type.Values)
        {
            code.Summary(value.Doc).Line($"{Names.Pascal(value.Name)},").Line();
        }

        code.Close().Line();
        code.Summary($"The wire's words for {type.Name}.").Open($"public static class {type.Name}Wire");
        code.Summary("The wire's word.").Open($"public static string ToWire(this {type.Name} value) => value switch");
        foreach (EnumValue value in type.Values)
        {
            code.Line($"{type.Name}.{Names.Pascal(value.Name)} => \"{value.Name}\",");
        }

        code.Line("_ => throw new ArgumentOutOfRangeException(nameof(value), value, null),").Close(";").Line();
        code.Summary("Finds the value of a wire's word; false when there is none.");
        code.Open($"public static bool TryParse(string word, out {type.Name} value)").Open("switch (word)");
        foreach (EnumValue value in type.Values)
        {
            code.Line($"case \"{value.Name}\": value = {type.Name}.{Names.Pascal(value.Name)}; return true;");
        }

        code.Line("default: value = default; return false;").Close().Close();
        if (isInput)
        {
            code.Line().Summary("Reads one; another word than the enum's is an argument error.");
            code.Open($"public static {type.Name} Read(QmpInputVisitor visitor, string? name)");
            code.Line("string word = visitor.ReadString(name);");
            code.Line($"return TryParse(word, out {type.Name} value) ? value : throw visitor.InvalidEnum(name, word);");
            code.Close();
        }

        if (isOutput)
        {
            code.Line().Summary("The wire's word as JSON.");
            code.Open($"internal static ReadOnlySpan<byte> ToJson(this {type.Name} value) => value switch");
            foreach (EnumValue value in type.Values)
            {
                code.Line($"{type.Name}.{Names.Pascal(value.Name)} => \"\\\"{value.Name}\\\"\"u8,");
            }

            code.Line("_ => throw new ArgumentOutOfRangeException(nameof(value), value, null),").Close(";");
        }

        code.Close().Line();
    }

    private void EmitStruct(CodeWriter code, SchemaType type, bool isInput, bool isOutput)
    {
        List<Member> members = [.. schema.MembersOf(type)];
        OpenClass(code, type, isOutput);
        _members.EmitProperties(code, members);
        if (isInput)
        {
            MemberEmitter.EmitRead(code, type.Name);
            code.Open($"internal static {type.Name} ReadMembers(QmpInputVisitor visitor) => new()");
            foreach (Member member in members)
            {
                code.Line($"{Names.Pascal(member.Name)} = {_syntax.ReadMember(member)},");
            }

            code.Close(";").Line();
        }

        if (isOutput)
        {
            MemberEmitter.EmitWrite(code);
            code.Open("internal void WriteMembers(JsonWriter writer)");
            _members.EmitWrites(code, members);
            code.Close();
        }

        code.Close().Line();
    }

    private void EmitUnion(CodeWriter code, UnionType union, bool isInput, bool isOutput)
    {
        List<Member> members = [.. schema.MembersOf(union)];
        List<UnionBranch> branches = [.. schema.BranchesOf(union)];
        string discriminatorType = schema.DiscriminatorOf(union).Name;
        OpenClass(code, union, isOutput);
        _members.EmitProperties(code, members);
        code.Summary($"The members that <c>{union.Discriminator}</c> adds; null when it adds none.");
        code.Line("public object? Branch { get; init; }").Line();
        foreach (UnionBranch branch in branches)
        {
            code.Summary($"The members of <c>{branch.Value}</c>.");
            code.Line($"public {branch.Type} {Names.Pascal(branch.Value)} => ({branch.Type})Branch!;").Line();
        }

        if (isInput)
        {
            MemberEmitter.EmitRead(code, union.Name);
            EmitUnionReader(code, union, members, branches, discriminatorType);
        }

        if (isOutput)
        {
            MemberEmitter.EmitWrite(code);
            code.Open("internal void WriteMembers(JsonWriter writer)");
            _members.EmitWrites(code, members);
            code.Open($"switch ({Names.Pascal(union.Discriminator)})");
            foreach (UnionBranch branch in branches)
            {
                string value = Names.Pascal(branch.Value);
                code.Line($"case {discriminatorType}.{value}: {value}.WriteMembers(writer); break;");
            }

            code.Line("default: break;").Close().Close();
        }

        code.Close().Line();
    }

    private void EmitUnionReader(
        CodeWriter code, UnionType union, List<Member> members, List<UnionBranch> branches, string discriminatorType)
    {
        code.Open($"internal static {union.Name} ReadMembers(QmpInputVisitor visitor)");
        foreach (Member member in members)
        {
            code.Line($"{_syntax.MemberType(member)} {Names.Camel(member.Name)} = {_syntax.ReadMember(member)};");
        }

        code.Open($"object? branchValue = {Names.Camel(union.Discriminator)} switch");
        foreach (UnionBranch branch in branches)
        {
            code.Line($"{discriminatorType}.{Names.Pascal(branch.Value)} => {branch.Type}.ReadMembers(visitor),");
        }

        code.Line("_ => null,").Close(";");
        code.Open($"return new {union.Name}");
        foreach (Member member in members)
        {
            code.Line($"{Names.Pascal(member.Name)} = {Names.Camel(member.Name)},");
        }

        code.Line("Branch = branchValue,").Close(";").Close().Line();
    }

    private void EmitAlternate(CodeWriter code, AlternateType alternate, bool isInput, bool isOutput)
    {
        OpenClass(code, alternate, isOutput);
        foreach (Member member in alternate.Alternatives)
        {
            code.Summary(member.Doc).Line($"public {_syntax.Name(member.Type)}? {Names.Pascal(member.Name)} {{ get; init; }}").Line();
        }

        if (isInput)
        {
            code.Summary("Reads one; the JSON kind of the value decides which alternative it is.");
            code.Open($"public static {alternate.Name} Read(QmpInputVisitor visitor, string? name) => visitor.PeekKind(name) switch");
            foreach (Member member in alternate.Alternatives)
            {
                string kind = JsonKinds.Of(schema, alternate, member);
                string value = $"{Names.Pascal(member.Name)} = {_syntax.Read(member.Type, "name")}";
                code.Line($"QmpValueKind.{kind} => new {alternate.Name} {{ {value} }},");
            }

            code.Line($"_ => throw visitor.InvalidAlternate(name, \"{alternate.Name}\"),").Close(";");
        }

        if (isOutput)
        {
            code.Line().Line("/// <inheritdoc/>").Open("public void Write(JsonWriter writer)");
            foreach (Member member in alternate.Alternatives)
            {
                string value = Names.Camel(member.Name).TrimStart('@') + "Value";
                code.Open($"if ({Names.Pascal(member.Name)} is {{ }} {value})").Line(_syntax.WriteValue(member.Type, value)).Close();
            }

            code.Close();
        }

        code.Close().Line();
    }

    private static void OpenClass(CodeWriter code, SchemaType type, bool isOutput) =>
        code.Summary(type.Doc).Open($"public sealed class {type.Name}{(isOutput ? " : IQapiOutput" : "")}");
}
