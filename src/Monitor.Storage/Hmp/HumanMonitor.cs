using System.Text;
using Monitor.Qapi;

namespace Monitor.Storage.Hmp;

/// <summary>Carries out lines of the human monitor: finds the command, reads its arguments, runs it, gives back what it printed.</summary>
/// <param name="commands">All commands.</param>
internal sealed class HumanMonitor(IReadOnlyList<HmpCommand> commands)
{
    /// <summary>Carries out a line; a turn.</summary>
    /// <returns>What it printed, lines ended by CR LF.</returns>
    public async ValueTask<string> RunAsync(string line)
    {
        var output = new StringBuilder();
        if (Find(line, out int position, out string words) is { } command)
        {
            await RunAsync(command, line, position, words, output);
        }
        else if (words.Length > 0)
        {
            output.Append($"unknown command: '{words}'\n");
        }

        return output.Replace("\n", "\r\n").ToString();
    }

    /// <summary>Prints what a word, or the words of a subcommand, do; everything when there are none.</summary>
    public void PrintHelp(string words, StringBuilder output)
    {
        HmpCommand? command = Find(words, out _, out string found);
        if (found.Length == 0)
        {
            PrintAll(commands, "", output);
        }
        else if (command is null)
        {
            output.Append($"unknown command: '{found}'\n");
        }
        else if (command.Subcommands.Count > 0)
        {
            PrintAll(command.Subcommands, $"{command.Name} ", output);
        }
        else
        {
            Print(command, found.Contains(' ', StringComparison.Ordinal) ? found[..(found.IndexOf(' ', StringComparison.Ordinal) + 1)] : "", output);
        }
    }

    private static async ValueTask RunAsync(HmpCommand command, string line, int position, string words, StringBuilder output)
    {
        HmpArguments arguments;
        try
        {
            arguments = HmpArguments.Read(command, line, position);
        }
        catch (QmpException e)
        {
            output.Append($"{e.Message}\nTry \"help {words}\" for more information\n");
            return;
        }

        try
        {
            await command.RunAsync(arguments, output);
        }
        catch (QmpException e)
        {
            output.Append($"Error: {e.Message}\n").Append(e.Hint is { } hint ? $"{hint}\n" : "");
        }
    }

    private static void PrintAll(IReadOnlyList<HmpCommand> list, string prefix, StringBuilder output)
    {
        foreach (HmpCommand command in list.OrderBy(command => command.Name, StringComparer.Ordinal))
        {
            Print(command, prefix, output);
        }
    }

    private static void Print(HmpCommand command, string prefix, StringBuilder output) =>
        output.Append($"{prefix}{command.Name} {string.Join(' ', command.Parameters)} -- {command.Help}\n");

    private static string NextWord(string line, ref int position)
    {
        while (position < line.Length && char.IsWhiteSpace(line[position]))
        {
            position++;
        }

        int start = position;
        while (position < line.Length && !char.IsWhiteSpace(line[position]))
        {
            position++;
        }

        return line[start..position];
    }

    /// <summary>The command at the start of a line, or the subcommand when a second word follows.</summary>
    /// <param name="line">The line.</param>
    /// <param name="position">After the words.</param>
    /// <param name="words">The words that name it, found or not.</param>
    private HmpCommand? Find(string line, out int position, out string words)
    {
        position = 0;
        words = NextWord(line, ref position);
        HmpCommand? command = FindIn(commands, words);
        if (command is null || command.Subcommands.Count == 0)
        {
            return command;
        }

        string second = NextWord(line, ref position);
        if (second.Length == 0)
        {
            return command;
        }

        words = $"{words} {second}";
        return FindIn(command.Subcommands, second);
    }

    private static HmpCommand? FindIn(IReadOnlyList<HmpCommand> list, string word)
    {
        foreach (HmpCommand command in list)
        {
            if (command.IsNamed(word))
            {
                return command;
            }
        }

        return null;
    }
}
