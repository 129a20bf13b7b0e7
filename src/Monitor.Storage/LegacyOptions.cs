using System.Text;
using Monitor.Block;
using Monitor.Qapi;
using Monitor.Qapi.Keyval;

namespace Monitor.Storage;

/// <summary>The older syntax of option values, which <c>--chardev</c>, <c>--drive</c> and <c>--device</c> keep: <c>word,key=value,flag,noflag</c>; two commas stand for one.</summary>
public static class LegacyOptions
{
    /// <summary>The pairs, a later one of the same key winning.</summary>
    /// <param name="text">The value of the option.</param>
    /// <param name="impliedKey">The key of a first word without one.</param>
    public static Dictionary<string, string> Parse(string text, string impliedKey)
    {
        var options = new Dictionary<string, string>();
        for (int position = 0; position < text.Length;)
        {
            bool isFirst = position == 0;
            string parameter = Take(text, ref position);
            int equals = parameter.IndexOf('=');
            if (equals >= 0)
            {
                options[parameter[..equals]] = parameter[(equals + 1)..];
            }
            else if (isFirst)
            {
                options[impliedKey] = parameter;
            }
            else if (parameter.StartsWith("no", StringComparison.Ordinal))
            {
                options[parameter[2..]] = "off";
            }
            else
            {
                options[parameter] = "on";
            }
        }

        return options;
    }

    /// <summary>Refuses keys nobody knows.</summary>
    /// <exception cref="QmpException">There is one.</exception>
    public static void CheckKnown(Dictionary<string, string> options, ReadOnlySpan<string> known)
    {
        foreach (string key in options.Keys)
        {
            if (!known.Contains(key))
            {
                throw new QmpException($"Invalid parameter '{key}'");
            }
        }
    }

    /// <summary>A switch.</summary>
    /// <exception cref="QmpException">It is neither on nor off.</exception>
    public static bool Flag(Dictionary<string, string> options, string key, bool absent) => !options.TryGetValue(key, out string? text)
        ? absent
        : KeyvalScalar.ParseBool(Encoding.UTF8.GetBytes(text)) ?? throw new QmpException($"Parameter '{key}' expects 'on' or 'off'");

    /// <summary>A number, as C reads it; one of more than 63 bits is negative.</summary>
    /// <exception cref="QmpException">It is none.</exception>
    public static long? Number(Dictionary<string, string> options, string key) => !options.TryGetValue(key, out string? text)
        ? null
        : unchecked((long?)KeyvalScalar.ParseUInt64(Encoding.UTF8.GetBytes(text))) ?? throw new QmpException($"Parameter '{key}' expects a number");

    /// <summary>Bytes, with an optional suffix such as <c>k</c>.</summary>
    /// <exception cref="QmpException">It is no such number.</exception>
    public static long? Size(Dictionary<string, string> options, string key) => !options.TryGetValue(key, out string? text)
        ? null
        : unchecked((long?)KeyvalScalar.ParseSize(Encoding.UTF8.GetBytes(text)))
            ?? throw new QmpException($"Parameter '{key}' expects a non-negative number below 2^64");

    /// <summary>Refuses an id that is no identifier.</summary>
    /// <exception cref="QmpException">It is none.</exception>
    public static void CheckId(string id)
    {
        if (!NodeName.IsWellFormed(id))
        {
            throw new QmpException("Parameter 'id' expects an identifier");
        }
    }

    /// <summary>The text up to the next single comma.</summary>
    private static string Take(string text, ref int position)
    {
        int start = position;
        while (position < text.Length)
        {
            if (text[position] != ',')
            {
                position++;
            }
            else if (position + 1 < text.Length && text[position + 1] == ',')
            {
                position += 2;
            }
            else
            {
                return Unescape(text[start..position++]);
            }
        }

        return Unescape(text[start..]);
    }

    private static string Unescape(string text) => text.Replace(",,", ",", StringComparison.Ordinal);
}
