using System.Globalization;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Blkdebug;

/// <summary>Reads rules from a file in QEMU's form of configuration.</summary>
/// <remarks>Groups <c>[inject-error]</c> and <c>[set-state]</c>, each with lines <c>name = "value"</c>; lines that begin with <c>#</c> say nothing.</remarks>
internal static class BlkdebugConfiguration
{
    private const string InjectError = "inject-error";
    private const string SetState = "set-state";

    private static readonly Dictionary<string, string[]> s_groups = new()
    {
        [InjectError] = ["event", "state", "errno", "sector", "once", "immediately", "iotype"],
        [SetState] = ["event", "state", "new_state"],
    };

    /// <summary>Reads a file; blocks.</summary>
    /// <exception cref="QmpException">It cannot be read, or is not in that form.</exception>
    public static (List<BlkdebugInjectErrorOptions> Errors, List<BlkdebugSetStateOptions> Transitions) Read(string path)
    {
        string[] lines;
        try
        {
            lines = System.IO.File.ReadAllLines(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            int errno = e is UnauthorizedAccessException ? Errno.EACCES : e is FileNotFoundException or DirectoryNotFoundException or ArgumentException ? Errno.ENOENT : Errno.EIO;
            throw new QmpException($"Could not read blkdebug config file: {Errno.Describe(errno)}");
        }

        var errors = new List<BlkdebugInjectErrorOptions>();
        var transitions = new List<BlkdebugSetStateOptions>();
        foreach (var (group, values) in Parse(lines))
        {
            var rule = new Rule(values);
            if (group == InjectError)
            {
                errors.Add(rule.ToError());
            }
            else
            {
                transitions.Add(rule.ToTransition());
            }
        }

        return (errors, transitions);
    }

    private static List<(string Group, Dictionary<string, string> Values)> Parse(string[] lines)
    {
        var groups = new List<(string Group, Dictionary<string, string> Values)>();
        foreach (string line in lines)
        {
            string text = line.Trim();
            if (text.Length == 0 || text[0] == '#')
            {
                continue;
            }

            if (text[0] == '[' && text[^1] == ']')
            {
                string name = text[1..^1].Split(' ', 2)[0];
                groups.Add(s_groups.ContainsKey(name) ? (name, []) : throw new QmpException($"There is no option group '{name}'"));
                continue;
            }

            if (groups.Count == 0)
            {
                throw new QmpException("no group defined");
            }

            string[] parts = text.Split('=', 2, StringSplitOptions.TrimEntries);
            if (parts is not [var key, [.., '"'] value] || value.Length < 2 || value[0] != '"')
            {
                throw new QmpException("parse error");
            }

            var (group, values) = groups[^1];
            values[s_groups[group].Contains(key) ? key : throw new QmpException($"Invalid parameter '{key}'")] = value[1..^1];
        }

        return groups;
    }

    /// <summary>One group's lines.</summary>
    private sealed class Rule(Dictionary<string, string> values)
    {
        public BlkdebugInjectErrorOptions ToError() => new()
        {
            Event = Event,
            State = Number("state"),
            Errno = Number("errno"),
            Sector = Number("sector"),
            Once = Flag("once"),
            Immediately = Flag("immediately"),
            Iotype = !values.TryGetValue("iotype", out string? type) ? null
                : BlkdebugIOTypeWire.TryParse(type, out BlkdebugIOType known) ? known
                : throw new QmpException($"invalid parameter value: {type}"),
        };

        public BlkdebugSetStateOptions ToTransition() => new() { Event = Event, State = Number("state"), NewState = Number("new_state") ?? 0 };

        private BlkdebugEvent Event =>
            !values.TryGetValue("event", out string? name) ? throw new QmpException("Missing event name for rule")
            : BlkdebugEventWire.TryParse(name, out BlkdebugEvent evt) ? evt
            : throw new QmpException($"invalid parameter value: {name}");

        private long? Number(string name) =>
            !values.TryGetValue(name, out string? text) ? null
            : long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number) ? number
            : throw new QmpException($"Parameter '{name}' expects a number");

        private bool? Flag(string name) => values.GetValueOrDefault(name) switch
        {
            null => null,
            "on" => true,
            "off" => false,
            _ => throw new QmpException($"Parameter '{name}' expects 'on' or 'off'"),
        };
    }
}
