using System.Globalization;
using System.Text;
using Monitor.Qapi.Json;

namespace Monitor.Qapi.Keyval;

/// <summary>Parses the command line's <c>key=value,...</c> form of an argument object.</summary>
/// <remarks>
/// <para>Keys nest by dots, indices make lists, <c>,,</c> in a value is a comma, and the first value may leave its key out. For example
/// <c>qcow2,node-name=n,file.driver=file,file.filename=a,,b,x.0=1</c> with the implied key <c>driver</c> is
/// <c>{"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "a,b"}, "x": ["1"]}</c>.</para>
/// <para>Every scalar is a string; the visitor converts it to what the schema asks for. A text that begins with <c>{</c> is JSON.</para>
/// </remarks>
public static class KeyvalParser
{
    private const int MaximumFragmentLength = 127;

    /// <summary>Parses a text.</summary>
    /// <param name="text">Keyval or JSON.</param>
    /// <param name="impliedKey">The key of the first value when it has none; <see langword="null"/> when it must have one.</param>
    /// <returns>A visitor at the object.</returns>
    /// <exception cref="QmpException">The text is malformed.</exception>
    public static QmpInputVisitor Parse(string text, string? impliedKey)
    {
        if (text.StartsWith('{'))
        {
            return QmpInputVisitor.Parse(text);
        }

        var root = new KeyvalNode();
        int position = 0;
        while (position < text.Length)
        {
            ParseParameter(text, ref position, position == 0 ? impliedKey : null, root);
        }

        return Visit(root);
    }

    /// <summary>Takes keys and values that are apart already.</summary>
    /// <param name="pairs">Keys nest as in a text; a later value of the same key wins.</param>
    /// <returns>A visitor at the object.</returns>
    /// <exception cref="QmpException">A key is malformed, or keys contradict each other.</exception>
    public static QmpInputVisitor Parse(IEnumerable<(string Key, string Value)> pairs)
    {
        var root = new KeyvalNode();
        foreach (var (key, value) in pairs)
        {
            Descend(key, root).SetScalar(value, key);
        }

        return Visit(root);
    }

    /// <summary>The keys and values of a JSON object, in the words of a keyval text: <c>{"a": {"b": [true]}}</c> is <c>a.b.0=on</c>; null is an empty value.</summary>
    /// <exception cref="QmpException">The text is no JSON object.</exception>
    public static List<(string Key, string Value)> Flatten(string json)
    {
        JsonTape tape = JsonStreamParser.Parse(Encoding.UTF8.GetBytes(json));
        var pairs = new List<(string, string)>();
        Flatten(tape, 0, "", pairs);
        return tape.KindOf(0) == JsonTokenKind.Dict ? pairs : throw new QmpException("Invalid JSON object given");
    }

    private static void Flatten(JsonTape tape, int index, string key, List<(string Key, string Value)> pairs)
    {
        JsonTokenKind kind = tape.KindOf(index);
        if (kind is not (JsonTokenKind.Dict or JsonTokenKind.List))
        {
            string text = kind switch
            {
                JsonTokenKind.Null => "",
                JsonTokenKind.True => "on",
                JsonTokenKind.False => "off",
                _ => tape.StringOf(index),
            };
            pairs.Add((key, text));
            return;
        }

        string prefix = key.Length > 0 ? $"{key}." : "";
        int item = 0;
        for (int i = index + 1; i < tape.EndOf(index); i = tape.EndOf(i))
        {
            string fragment = kind == JsonTokenKind.Dict ? tape.StringOf(i++) : (item++).ToString(CultureInfo.InvariantCulture);
            Flatten(tape, i, prefix + fragment, pairs);
        }
    }

    private static QmpInputVisitor Visit(KeyvalNode root)
    {
        var tape = new JsonTape { IsKeyval = true };
        root.WriteTo(tape, "");
        return new QmpInputVisitor(tape);
    }

    private static void ParseParameter(string text, ref int position, string? impliedKey, KeyvalNode root)
    {
        int start = position;
        int keyEnd = text.AsSpan(start).IndexOfAny('=', ',');
        keyEnd = keyEnd < 0 ? text.Length : start + keyEnd;
        string key = text[start..keyEnd];
        bool hasValue = keyEnd < text.Length && text[keyEnd] == '=';
        if (!hasValue && key is "help" or "?")
        {
            throw new QmpException("Help is not available for this option");
        }

        if (!hasValue && impliedKey is not null && key.Length > 0)
        {
            root.Child(impliedKey, "").SetScalar(key, impliedKey);
            position = Math.Min(keyEnd + 1, text.Length);
            return;
        }

        var node = Descend(key, root);
        if (!hasValue)
        {
            throw new QmpException($"Expected '=' after parameter '{key}'");
        }

        position = keyEnd + 1;
        node.SetScalar(ParseValue(text, ref position), key);
    }

    private static string ParseValue(string text, ref int position)
    {
        int start = position;
        while (position < text.Length)
        {
            if (text[position++] != ',')
            {
                continue;
            }

            bool isDoubled = position < text.Length && text[position] == ',';
            if (!isDoubled)
            {
                return Unescape(text[start..(position - 1)]);
            }

            position++;
        }

        return Unescape(text[start..]);
    }

    private static string Unescape(string value) => value.Replace(",,", ",", StringComparison.Ordinal);

    private static KeyvalNode Descend(string key, KeyvalNode root)
    {
        var node = root;
        int depth = 0;
        int start = 0;
        do
        {
            int length = FragmentLength(key.AsSpan(start), isFirst: start == 0);
            int end = start + length;
            if (length == 0 || (end < key.Length && key[end] != '.') || ++depth > JsonStreamParser.MaximumNesting)
            {
                throw new QmpException($"Invalid parameter '{key}'");
            }

            if (length > MaximumFragmentLength)
            {
                throw new QmpException($"Parameter '{key}' is too long");
            }

            node = node.Child(CanonicalFragment(key[start..end]), key[..Math.Max(start - 1, 0)]);
            start = end + 1;
        }
        while (start <= key.Length);

        return node;
    }

    private static string CanonicalFragment(string fragment)
    {
        if (!char.IsAsciiDigit(fragment[0]))
        {
            return fragment;
        }

        string digits = fragment.TrimStart('0');
        return digits.Length == 0 ? "0" : digits;
    }

    private static int FragmentLength(ReadOnlySpan<char> key, bool isFirst)
    {
        int digits = CountWhile(key, char.IsAsciiDigit);
        if (digits > 0)
        {
            return isFirst ? 0 : digits;
        }

        int prefix = VendorPrefixLength(key);
        var name = key[prefix..];
        bool isName = !name.IsEmpty && char.IsAsciiLetter(name[0]);
        return isName ? prefix + CountWhile(name, c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_') : 0;
    }

    private static int VendorPrefixLength(ReadOnlySpan<char> key)
    {
        if (!key.StartsWith("__"))
        {
            return 0;
        }

        int domain = CountWhile(key[2..], c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.');
        return 2 + domain < key.Length && key[2 + domain] == '_' ? domain + 3 : 0;
    }

    private static int CountWhile(ReadOnlySpan<char> text, Func<char, bool> isWanted)
    {
        int count = 0;
        while (count < text.Length && isWanted(text[count]))
        {
            count++;
        }

        return count;
    }
}
