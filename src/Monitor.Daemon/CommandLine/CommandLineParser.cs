namespace Monitor.Daemon.CommandLine;

/// <summary>Splits the arguments into options by the rules of getopt_long, which qemu-storage-daemon's users know.</summary>
/// <remarks>
/// <c>--blockdev X</c>, <c>--blockdev=X</c>, <c>--block X</c> (an unambiguous beginning), <c>-blockdev X</c>, <c>-hV</c> (letters together);
/// <c>--</c> ends them, and nobody looks at what stands behind it.
/// Errors come in the order of the arguments, so options before the bad one have been seen.
/// </remarks>
internal static class CommandLineParser
{
    /// <summary>The options in the order given.</summary>
    /// <exception cref="CommandLineException">An option is unknown or its value missing; thrown when the enumeration gets there.</exception>
    public static IEnumerable<CommandLineOption> Parse(string[] arguments)
    {
        for (int index = 0; index < arguments.Length;)
        {
            string argument = arguments[index++];
            if (argument == "--")
            {
                yield break;
            }

            if (FindLong(argument, out string? attached) is { } syntax)
            {
                yield return WithValue(syntax, argument, attached, arguments, ref index);
            }
            else if (argument.Length < 2 || argument[0] != '-')
            {
                yield return new CommandLineOption(OptionName.Word, argument, argument);
            }
            else
            {
                for (int letter = 1; letter < argument.Length; letter++)
                {
                    OptionSyntax found = FindLetter(argument[letter]);
                    if (!found.TakesValue)
                    {
                        yield return new CommandLineOption(found.Name, "", argument, found.IsEarly);
                        continue;
                    }

                    yield return WithShortValue(found, argument, letter, arguments, ref index);
                    break;
                }
            }
        }
    }

    /// <summary>The option a word with two dashes names, or its exact name with one; null when the argument is no long option.</summary>
    private static OptionSyntax? FindLong(string argument, out string? attached)
    {
        attached = null;
        bool isLong = argument.StartsWith("--", StringComparison.Ordinal) && argument.Length > 2;
        if (!isLong && !(argument.Length > 2 && argument[0] == '-'))
        {
            return null;
        }

        string word = argument[(isLong ? 2 : 1)..];
        int equals = word.IndexOf('=');
        if (equals >= 0)
        {
            attached = word[(equals + 1)..];
            word = word[..equals];
        }

        OptionSyntax? exact = Array.Find(OptionSyntax.All, option => option.Word == word);
        return exact is not null || !isLong ? exact : FindBeginning(argument, word);
    }

    private static OptionSyntax FindBeginning(string argument, string word)
    {
        OptionSyntax[] found = Array.FindAll(OptionSyntax.All, option => !option.IsWhole && option.Word.StartsWith(word, StringComparison.Ordinal));
        return found.Length switch
        {
            1 => found[0],
            0 => throw new CommandLineException($"unrecognized option '{argument}'"),
            _ => throw new CommandLineException(
                $"option '{argument}' is ambiguous; possibilities: {string.Join(' ', Array.ConvertAll(found, option => $"'--{option.Word}'"))}"),
        };
    }

    private static OptionSyntax FindLetter(char letter) =>
        Array.Find(OptionSyntax.All, option => option.Letter == letter) ?? throw new CommandLineException($"invalid option -- '{letter}'");

    private static CommandLineOption WithValue(OptionSyntax syntax, string argument, string? attached, string[] arguments, ref int index)
    {
        if (!syntax.TakesValue)
        {
            return attached is null
                ? new CommandLineOption(syntax.Name, "", argument, syntax.IsEarly)
                : throw new CommandLineException($"option '--{syntax.Word}' doesn't allow an argument");
        }

        if (attached is not null)
        {
            return new CommandLineOption(syntax.Name, syntax.ValueOf(attached), argument, syntax.IsEarly);
        }

        return index < arguments.Length
            ? new CommandLineOption(syntax.Name, syntax.ValueOf(arguments[index]), $"{argument} {arguments[index++]}", syntax.IsEarly)
            : throw new CommandLineException($"option '--{syntax.Word}' requires an argument");
    }

    private static CommandLineOption WithShortValue(OptionSyntax syntax, string argument, int letter, string[] arguments, ref int index)
    {
        if (letter + 1 < argument.Length)
        {
            return new CommandLineOption(syntax.Name, argument[(letter + 1)..], argument, syntax.IsEarly);
        }

        return index < arguments.Length
            ? new CommandLineOption(syntax.Name, syntax.ValueOf(arguments[index]), $"{argument} {arguments[index++]}", syntax.IsEarly)
            : throw new CommandLineException($"option requires an argument -- '{argument[letter]}'");
    }
}
