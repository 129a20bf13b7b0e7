using System.Text;
using Monitor.Qapi;
using Monitor.Qapi.Keyval;

namespace Monitor.Storage.Hmp;

/// <summary>What followed a command's name in a line of the human monitor, read by the command's parameters.</summary>
internal sealed class HmpArguments
{
    private readonly Dictionary<string, string> _values = [];

    private HmpArguments()
    {
    }

    /// <summary>The value of a parameter that is not optional.</summary>
    public string this[string name] => _values[name];

    /// <summary>Reads the rest of a line.</summary>
    /// <param name="command">Whose parameters they are.</param>
    /// <param name="line">The line.</param>
    /// <param name="position">Where the rest begins.</param>
    /// <exception cref="QmpException">It does not fit the parameters; the message says how.</exception>
    public static HmpArguments Read(HmpCommand command, string line, int position)
    {
        var arguments = new HmpArguments();
        for (int i = 0; i < command.Parameters.Count; i++)
        {
            HmpParameter parameter = command.Parameters[i];
            SkipBlanks(line, ref position);
            if (parameter.Kind == HmpParameterKind.Flag)
            {
                arguments.ReadFlag(command, i, line, ref position);
            }
            else if (position < line.Length && ReadText(line, ref position) is { } text)
            {
                arguments._values.Add(parameter.Name, parameter.Kind == HmpParameterKind.Number ? CheckNumber(text) : text);
            }
            else if (!parameter.IsOptional && parameter.Kind == HmpParameterKind.Number)
            {
                throw new QmpException("unexpected end of expression");
            }
            else if (!parameter.IsOptional)
            {
                string expected = parameter.Kind == HmpParameterKind.Device ? "block device name" : "string";
                throw new QmpException($"{command.Name}: {expected} expected");
            }
        }

        SkipBlanks(line, ref position);
        return position == line.Length ? arguments : throw new QmpException($"{command.Name}: extraneous characters at the end of line");
    }

    /// <summary>The value of a parameter; <see langword="null"/> when it was left out.</summary>
    public string? Find(string name) => _values.GetValueOrDefault(name);

    /// <summary>The value of a number that is not optional.</summary>
    public long Number(string name) => KeyvalScalar.ParseInt64(Encoding.ASCII.GetBytes(_values[name])) ?? 0;

    /// <summary>Whether a flag was given.</summary>
    public bool Has(char flag) => _values.ContainsKey(flag.ToString());

    private static void SkipBlanks(string line, ref int position)
    {
        while (position < line.Length && char.IsWhiteSpace(line[position]))
        {
            position++;
        }
    }

    /// <summary>A word or a quoted text; <see langword="null"/> when its quote is not closed.</summary>
    private static string? ReadText(string line, ref int position)
    {
        int start = position;
        if (line[position] != '"')
        {
            while (position < line.Length && !char.IsWhiteSpace(line[position]))
            {
                position++;
            }

            return line[start..position];
        }

        var text = new StringBuilder();
        for (position++; position < line.Length && line[position] != '"'; position++)
        {
            text.Append(line[position] == '\\' && position + 1 < line.Length ? Unescape(line[++position]) : line[position]);
        }

        return position++ < line.Length ? text.ToString() : null;
    }

    private static string CheckNumber(string text)
    {
        int digits = text.StartsWith("0x", StringComparison.Ordinal) ? 2 : text.StartsWith('-') ? 1 : 0;
        int wrong = text.AsSpan(digits).IndexOfAnyExcept(digits == 2 ? "0123456789abcdefABCDEF" : "0123456789");
        return wrong < 0 ? text : throw new QmpException($"invalid char '{text[digits + wrong]}' in expression");
    }

    private static char Unescape(char letter) => letter switch
    {
        'n' => '\n',
        'r' => '\r',
        _ => letter,
    };

    /// <summary>Takes the flag if it stands here; another flag that is still to come is left for its parameter.</summary>
    private void ReadFlag(HmpCommand command, int index, string line, ref int position)
    {
        if (position + 1 >= line.Length || line[position] != '-')
        {
            return;
        }

        string letter = line[position + 1].ToString();
        if (command.Parameters[index].Name == letter)
        {
            _values.Add(letter, "");
            position += 2;
        }
        else if (!command.Parameters.Skip(index).Any(later => later.Kind == HmpParameterKind.Flag && later.Name == letter))
        {
            throw new QmpException($"{command.Name}: unsupported option -{letter}");
        }
    }
}
