using System.Text;
using Monitor.Qapi;
using Monitor.Storage.Objects;

namespace Monitor.Daemon.CommandLine;

/// <summary>What <c>--object help</c>, <c>--object TYPE,help</c> and <c>--chardev help</c> print.</summary>
internal static class OptionHelp
{
    /// <summary>The text; <see langword="null"/> when the value does not ask for help.</summary>
    public static string? Of(CommandLineOption option)
    {
        string[] words = option.Value.Split(',');
        if (option.Name == OptionName.Chardev)
        {
            return IsHelp(words[0]) ? DescribeChardevs() : null;
        }

        string type = words[0].StartsWith("qom-type=", StringComparison.Ordinal) ? words[0]["qom-type=".Length..] : words[0];
        return Array.Exists(words, IsHelp) ? ObjectHelp.Describe(type) : null;
    }

    private static bool IsHelp(string word) => word is "help" or "?";

    private static string DescribeChardevs()
    {
        var text = new StringBuilder("Available chardev backend types: \n");
        foreach (ChardevBackendKind kind in Enum.GetValues<ChardevBackendKind>())
        {
            text.Append("  ").Append(kind.ToWire()).Append('\n');
        }

        return text.ToString();
    }
}
