using System.Text;

namespace Monitor.Qapi.Json;

/// <summary>One parsed JSON value as a flat list of tokens beside the text they refer to.</summary>
/// <remarks>
/// <para>A value is a token followed by what it contains; <c>End</c> of a token skips its content. For example
/// <c>{"a": [1, "x"]}</c> is <c>Dict(End 5) Key a, List(End 5), Integer 1, String x</c> with the text <c>a1x</c>. Strings are kept
/// decoded, so comparing a name is comparing bytes.</para>
/// <para>A tape is reused from value to value: a simple command costs no allocation. Arrays above
/// <see cref="RetainedBytes"/> are given back when the tape is cleared.</para>
/// </remarks>
public sealed class JsonTape
{
    private const int RetainedBytes = 1 << 20;

    private const int RetainedTokens = RetainedBytes / 16;

    private byte[] _text = new byte[512];

    private JsonToken[] _tokens = new JsonToken[32];

    /// <summary>How many tokens there are; 0 before a value is parsed.</summary>
    public int Count { get; private set; }

    /// <summary>Scalars are strings of the command line's <c>key=value</c> form, which the visitor converts.</summary>
    internal bool IsKeyval { get; set; }

    /// <summary>Bytes of text in use.</summary>
    internal int TextLength { get; private set; }

    /// <summary>What the token at <paramref name="index"/> is.</summary>
    public JsonTokenKind KindOf(int index) => _tokens[index].Kind;

    /// <summary>Index of the token after the value at <paramref name="index"/> and all that it contains.</summary>
    public int EndOf(int index) => _tokens[index].End;

    /// <summary>The text of a number (as written), string or key (decoded UTF-8).</summary>
    public ReadOnlySpan<byte> TextOf(int index) => _text.AsSpan(_tokens[index].Offset, _tokens[index].Length);

    /// <summary>The text of a number, string or key as a string.</summary>
    public string StringOf(int index) => Encoding.UTF8.GetString(TextOf(index));

    /// <summary>Writes the value at <paramref name="index"/> as JSON spaced and escaped as QEMU does, numbers as the client wrote them.</summary>
    /// <param name="index">A value, not a key.</param>
    /// <param name="writer">Where to append.</param>
    public void WriteValue(int index, JsonWriter writer)
    {
        switch (_tokens[index].Kind)
        {
            case JsonTokenKind.Null:
                writer.WriteNull();
                break;
            case JsonTokenKind.False:
                writer.WriteBoolean(false);
                break;
            case JsonTokenKind.True:
                writer.WriteBoolean(true);
                break;
            case JsonTokenKind.List or JsonTokenKind.Dict:
                WriteContainer(index, writer);
                break;
            case JsonTokenKind.String or JsonTokenKind.Key:
                writer.WriteString(TextOf(index));
                break;
            default:
                writer.WriteRaw(TextOf(index));
                break;
        }
    }

    /// <summary>Forgets the value.</summary>
    internal void Clear()
    {
        Count = 0;
        TextLength = 0;
        if (_text.Length > RetainedBytes)
        {
            _text = new byte[512];
        }

        if (_tokens.Length > RetainedTokens)
        {
            _tokens = new JsonToken[32];
        }
    }

    /// <summary>Appends a token whose text is the last <paramref name="length"/> bytes from <paramref name="offset"/>.</summary>
    internal int AddToken(JsonTokenKind kind, int offset, int length)
    {
        if (Count == _tokens.Length)
        {
            Array.Resize(ref _tokens, Count * 2);
        }

        int index = Count++;
        _tokens[index] = new JsonToken { Kind = kind, Offset = offset, Length = length, End = index + 1 };
        return index;
    }

    /// <summary>Ends the container at <paramref name="index"/> after the last token.</summary>
    internal void CloseContainer(int index) => _tokens[index].End = Count;

    /// <summary>Appends bytes of text and returns their offset.</summary>
    internal int AppendText(ReadOnlySpan<byte> text)
    {
        int offset = TextLength;
        if (_text.Length - offset < text.Length)
        {
            Array.Resize(ref _text, Math.Max(_text.Length * 2, offset + text.Length));
        }

        text.CopyTo(_text.AsSpan(offset));
        TextLength = offset + text.Length;
        return offset;
    }

    /// <summary>Text from <paramref name="offset"/> on, for decoding in place.</summary>
    internal Span<byte> TextFrom(int offset) => _text.AsSpan(offset, TextLength - offset);

    /// <summary>Drops text beyond the first <paramref name="length"/> bytes.</summary>
    internal void TruncateText(int length) => TextLength = length;

    /// <summary>Whether a reader has asked for the member with this key.</summary>
    internal bool IsVisited(int key) => _tokens[key].Visited;

    /// <summary>Notes that a reader has asked for the member with this key.</summary>
    internal void MarkVisited(int key) => _tokens[key].Visited = true;

    /// <summary>The key token of a member of <paramref name="dict"/>, or -1.</summary>
    internal int FindKey(int dict, ReadOnlySpan<char> name)
    {
        int end = _tokens[dict].End;
        for (int key = dict + 1; key < end; key = _tokens[key + 1].End)
        {
            if (Ascii.Equals(TextOf(key), name))
            {
                return key;
            }
        }

        return -1;
    }

    private void WriteContainer(int index, JsonWriter writer)
    {
        bool isDict = _tokens[index].Kind == JsonTokenKind.Dict;
        if (isDict)
        {
            writer.WriteStartObject();
        }
        else
        {
            writer.WriteStartArray();
        }

        int end = _tokens[index].End;
        for (int child = index + 1; child < end; child = _tokens[child].End)
        {
            if (isDict)
            {
                writer.WriteName(StringOf(child++));
            }

            WriteValue(child, writer);
        }

        if (isDict)
        {
            writer.WriteEndObject();
        }
        else
        {
            writer.WriteEndArray();
        }
    }
}
