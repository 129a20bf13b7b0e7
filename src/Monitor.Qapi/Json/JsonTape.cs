using System.Text;

namespace Monitor.Qapi.Json;

/// <summary>One parsed JSON value as a flat list of tokens beside the text they refer to.</summary>
/// <remarks>
/// <para>A value is a token followed by what it contains; <c>End</c> of a token skips its content. For example
/// <c>{"a": [1, "x"]}</c> is <c>Dict(End 5) Key a, List(End 5), Integer 1, String x</c> with the text <c>a1x</c>. Strings are kept
/// decoded, so comparing a name is comparing bytes.</para>
/// <para>A tape is reused from value to value: a simple command costs no allocation. What is above
/// <see cref="RetainedBytes"/> is given back when the tape is cleared.</para>
/// </remarks>
public sealed class JsonTape
{
    private const int RetainedBytes = 1 << 20;

    private const int RetainedBlocks = 17;

    private const int HugeBytes = 8 << 20;

    /// <summary>Tokens of a block, as a power of two: blocks of 64 KiB, so that a long value is never copied as it grows.</summary>
    private const int BlockShift = 12;

    private const int BlockTokens = 1 << BlockShift;

    private byte[] _text = new byte[512];

    /// <summary>The tokens; the first block is smaller until it is full.</summary>
    private JsonToken[][] _blocks = [new JsonToken[32]];

    /// <summary>How many tokens there are; 0 before a value is parsed.</summary>
    public int Count { get; private set; }

    /// <summary>Scalars are strings of the command line's <c>key=value</c> form, which the visitor converts.</summary>
    internal bool IsKeyval { get; set; }

    /// <summary>Whether it holds so much memory that giving it back is worth a collection.</summary>
    public bool IsHuge => _text.Length > HugeBytes || (long)_blocks.Length * BlockTokens * 16 > HugeBytes;

    /// <summary>Bytes of text in use.</summary>
    internal int TextLength { get; private set; }

    /// <summary>What the token at <paramref name="index"/> is.</summary>
    public JsonTokenKind KindOf(int index) => At(index).Kind;

    /// <summary>Index of the token after the value at <paramref name="index"/> and all that it contains.</summary>
    public int EndOf(int index) => At(index).End;

    /// <summary>The text of a number (as written), string or key (decoded UTF-8).</summary>
    public ReadOnlySpan<byte> TextOf(int index) => _text.AsSpan(At(index).Offset, At(index).Length);

    /// <summary>The text of a number, string or key as a string.</summary>
    public string StringOf(int index) => Encoding.UTF8.GetString(TextOf(index));

    /// <summary>Writes the value at <paramref name="index"/> as JSON spaced and escaped as QEMU does, numbers as the client wrote them.</summary>
    /// <param name="index">A value, not a key.</param>
    /// <param name="writer">Where to append.</param>
    public void WriteValue(int index, JsonWriter writer)
    {
        switch (At(index).Kind)
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
    public void Clear()
    {
        Count = 0;
        TextLength = 0;
        if (_text.Length > RetainedBytes)
        {
            _text = new byte[512];
        }

        if (_blocks.Length > RetainedBlocks)
        {
            _blocks = [new JsonToken[32]];
        }
    }

    /// <summary>Appends a token whose text is the last <paramref name="length"/> bytes from <paramref name="offset"/>.</summary>
    internal int AddToken(JsonTokenKind kind, int offset, int length)
    {
        int index = Count++;
        if (index >= _blocks[0].Length)
        {
            EnsureBlock(index);
        }

        At(index) = new JsonToken { Kind = kind, Offset = offset, Length = length, End = index + 1 };
        return index;
    }

    /// <summary>Ends the container at <paramref name="index"/> after the last token.</summary>
    internal void CloseContainer(int index) => At(index).End = Count;

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
    internal bool IsVisited(int key) => At(key).Visited;

    /// <summary>Notes that a reader has asked for the member with this key.</summary>
    internal void MarkVisited(int key) => At(key).Visited = true;

    /// <summary>The key token of a member of <paramref name="dict"/>, or -1.</summary>
    internal int FindKey(int dict, ReadOnlySpan<char> name)
    {
        int end = At(dict).End;
        for (int key = dict + 1; key < end; key = At(key + 1).End)
        {
            if (Ascii.Equals(TextOf(key), name))
            {
                return key;
            }
        }

        return -1;
    }

    private ref JsonToken At(int index) => ref _blocks[index >> BlockShift][index & (BlockTokens - 1)];

    /// <summary>Makes room for the token after the last.</summary>
    private void EnsureBlock(int index)
    {
        int block = index >> BlockShift;
        if (block == 0 && index == _blocks[0].Length)
        {
            Array.Resize(ref _blocks[0], index * 2);
        }
        else if (block == _blocks.Length)
        {
            Array.Resize(ref _blocks, block + 16);
        }

        _blocks[block] ??= new JsonToken[BlockTokens];
    }

    private void WriteContainer(int index, JsonWriter writer)
    {
        bool isDict = At(index).Kind == JsonTokenKind.Dict;
        if (isDict)
        {
            writer.WriteStartObject();
        }
        else
        {
            writer.WriteStartArray();
        }

        int end = At(index).End;
        for (int child = index + 1; child < end; child = At(child).End)
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
