using System.Text;

namespace Monitor.Qapi.Generator.Emit;

/// <summary>Collects indented C# text.</summary>
internal sealed class CodeWriter
{
    private readonly StringBuilder _text = new();
    private int _depth;

    public CodeWriter Line(string line = "")
    {
        if (line.Length > 0)
        {
            _text.Append(' ', _depth * 4).Append(line);
        }

        _text.Append('\n');
        return this;
    }

    /// <summary>Opens a block under <paramref name="head"/>.</summary>
    public CodeWriter Open(string head)
    {
        Line(head).Line("{");
        _depth++;
        return this;
    }

    /// <summary>Closes the innermost block.</summary>
    public CodeWriter Close(string tail = "")
    {
        _depth--;
        return Line("}" + tail);
    }

    /// <summary>Writes a <c>summary</c> doc comment.</summary>
    public CodeWriter Summary(string doc) => Line($"/// <summary>{Escape(doc)}</summary>");

    public override string ToString() => _text.ToString();

    /// <summary>Makes prose XML-safe; the <c>&lt;c&gt;</c> marks that the generator itself writes stay.</summary>
    private static string Escape(string doc) => doc
        .Replace("&", "&amp;", StringComparison.Ordinal)
        .Replace("<", "&lt;", StringComparison.Ordinal)
        .Replace(">", "&gt;", StringComparison.Ordinal)
        .Replace("&lt;c&gt;", "<c>", StringComparison.Ordinal)
        .Replace("&lt;/c&gt;", "</c>", StringComparison.Ordinal);
}
