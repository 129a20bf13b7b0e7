using System.Text;

namespace Monitor.Qapi.Generator;

/// <summary>Turns the wire's names into C# names, by rule and without exceptions.</summary>
internal static class Names
{
    private static readonly HashSet<string> s_keywords =
    [
        "abstract", "as", "base", "bool", "break", "case", "checked", "class", "continue", "default", "do", "else", "event", "explicit",
        "extern", "false", "finally", "fixed", "for", "goto", "if", "implicit", "in", "interface", "internal", "is", "lock", "long",
        "namespace", "new", "null", "object", "operator", "out", "override", "params", "private", "protected", "public", "readonly",
        "ref", "return", "sealed", "static", "string", "switch", "this", "throw", "true", "try", "typeof", "unchecked", "unsafe", "using",
        "virtual", "void", "volatile", "while",
    ];

    /// <summary><c>node-name</c>, <c>node_name</c> and <c>NODE_NAME</c> → <c>NodeName</c>; a leading digit gets an underscore.</summary>
    public static string Pascal(string wire)
    {
        bool isShouting = !wire.Any(char.IsLower);
        var name = new StringBuilder();
        bool isWordStart = true;
        foreach (char c in wire)
        {
            if (c is '-' or '_' or '.')
            {
                isWordStart = true;
                continue;
            }

            name.Append(isWordStart ? char.ToUpperInvariant(c) : isShouting ? char.ToLowerInvariant(c) : c);
            isWordStart = false;
        }

        return char.IsDigit(name[0]) ? "_" + name : name.ToString();
    }

    /// <summary><c>node-name</c> → <c>nodeName</c>, safe as a parameter's name.</summary>
    public static string Camel(string wire)
    {
        string pascal = Pascal(wire);
        string camel = char.ToLowerInvariant(pascal[0]) + pascal[1..];
        return s_keywords.Contains(camel) ? "@" + camel : camel;
    }
}
