using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;

namespace Monitor.Qapi.Json;

/// <summary>Writes JSON as QEMU spells it into one buffer that is used again and again.</summary>
/// <remarks>
/// <para>Spaces follow commas and colons, all is ASCII, and only what JSON demands or what is not printable is escaped: a line reads as
/// QEMU's would, also for a script that greps. Commas are put by the writer; what is written must otherwise be in its place.</para>
/// <para>Example: <c>WriteStartObject, WriteName("\"a\": "u8), WriteNumber(1), WriteEndObject</c> gives <c>{"a": 1}</c>. Cost: names and
/// words are copied as they stand in the program, strings one pass; nothing is allocated once the buffer is large enough.</para>
/// </remarks>
public sealed class JsonWriter
{
    private const int RetainedBytes = 1 << 20;

    /// <summary>The most that one UTF-16 unit or UTF-8 byte can take: <c>\u1234</c>.</summary>
    private const int MaximumEscapeBytes = 6;

    private const string ShortEscapes = "\"\"\\\\\bb\ff\nn\rr\tt";

    private byte[] _bytes = new byte[512];

    /// <summary>A value or member stands before, in the same container.</summary>
    private bool _follows;

    /// <summary>How many bytes are written.</summary>
    public int Length { get; private set; }

    /// <summary>What is written; valid until the next call.</summary>
    public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, Length);

    /// <summary>Forgets what is written. A buffer that has grown large is given back.</summary>
    public void Clear()
    {
        Length = 0;
        _follows = false;
        if (_bytes.Length > RetainedBytes)
        {
            _bytes = new byte[512];
        }
    }

    /// <summary>Begins an object.</summary>
    public void WriteStartObject() => Open((byte)'{');

    /// <summary>Ends an object.</summary>
    public void WriteEndObject() => Close((byte)'}');

    /// <summary>Begins a list.</summary>
    public void WriteStartArray() => Open((byte)'[');

    /// <summary>Ends a list.</summary>
    public void WriteEndArray() => Close((byte)']');

    /// <summary>Writes a member's name as the program spells it: quoted, with colon and space.</summary>
    /// <param name="name">Such as <c>"node-name": </c>.</param>
    public void WriteName(ReadOnlySpan<byte> name)
    {
        name.CopyTo(Begin(name.Length));
        Length += name.Length;
        _follows = false;
    }

    /// <summary>Writes a member's name.</summary>
    public void WriteName(string name)
    {
        WriteString(name);
        WriteEnvelope(": "u8);
    }

    /// <summary>Writes a string.</summary>
    /// <param name="text">Any text; half a surrogate pair becomes U+FFFD.</param>
    public void WriteString(string text)
    {
        Span<byte> room = Begin((text.Length * MaximumEscapeBytes) + 2);
        int at = 0;
        room[at++] = (byte)'"';
        for (int i = 0; i < text.Length; i++)
        {
            char unit = text[i];
            if (IsPlain(unit))
            {
                room[at++] = (byte)unit;
            }
            else
            {
                at += WriteEscape(IsHalfOfPair(text, i) ? '\uFFFD' : unit, room[at..]);
            }
        }

        room[at++] = (byte)'"';
        Length += at;
    }

    /// <summary>Writes a string.</summary>
    /// <param name="text">UTF-8; a sequence that is none becomes U+FFFD.</param>
    public void WriteString(ReadOnlySpan<byte> text)
    {
        Span<byte> room = Begin((text.Length * MaximumEscapeBytes) + 2);
        Span<char> units = stackalloc char[2];
        int at = 0;
        room[at++] = (byte)'"';
        for (int i = 0; i < text.Length;)
        {
            if (IsPlain((char)text[i]))
            {
                room[at++] = text[i++];
                continue;
            }

            Rune.DecodeFromUtf8(text[i..], out Rune rune, out int used);
            foreach (char unit in units[..rune.EncodeToUtf16(units)])
            {
                at += WriteEscape(unit, room[at..]);
            }

            i += used;
        }

        room[at++] = (byte)'"';
        Length += at;
    }

    /// <summary>Writes an integer.</summary>
    public void WriteNumber(long value)
    {
        Span<byte> room = Begin(20);
        int written = 1;
        if (value is >= 0 and < 10)
        {
            room[0] = (byte)('0' + value);
        }
        else if (value is >= 10 and < 100)
        {
            room[0] = (byte)('0' + (value / 10));
            room[1] = (byte)('0' + (value % 10));
            written = 2;
        }
        else
        {
            value.TryFormat(room, out written, default, CultureInfo.InvariantCulture);
        }

        Length += written;
    }

    /// <summary>Writes an integer.</summary>
    public void WriteNumber(ulong value)
    {
        value.TryFormat(Begin(20), out int written, default, CultureInfo.InvariantCulture);
        Length += written;
    }

    /// <summary>Writes a number with the digits that tell it from its neighbours.</summary>
    public void WriteNumber(double value)
    {
        value.TryFormat(Begin(32), out int written, default, CultureInfo.InvariantCulture);
        Length += written;
    }

    /// <summary>Writes <c>true</c> or <c>false</c>.</summary>
    public void WriteBoolean(bool value) => WriteRaw(value ? "true"u8 : "false"u8);

    /// <summary>Writes <c>null</c>.</summary>
    public void WriteNull() => WriteRaw("null"u8);

    /// <summary>Writes a value that is JSON already.</summary>
    /// <param name="json">One whole value.</param>
    public void WriteRaw(ReadOnlySpan<byte> json)
    {
        json.CopyTo(Begin(json.Length));
        Length += json.Length;
    }

    /// <summary>Writes bytes that begin or end a message around the values; the next value follows without a comma.</summary>
    public void WriteEnvelope(ReadOnlySpan<byte> text)
    {
        text.CopyTo(Room(text.Length));
        Length += text.Length;
        _follows = false;
    }

    /// <summary>What is written, as a string.</summary>
    public override string ToString() => Encoding.ASCII.GetString(Written);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsPlain(char unit) => unit is >= ' ' and < '\x7F' and not ('"' or '\\');

    private static bool IsHalfOfPair(string text, int at) => char.IsSurrogate(text[at])
        && !(char.IsHighSurrogate(text[at]) && at + 1 < text.Length && char.IsLowSurrogate(text[at + 1]))
        && !(char.IsLowSurrogate(text[at]) && at > 0 && char.IsHighSurrogate(text[at - 1]));

    private static int WriteEscape(char unit, Span<byte> room)
    {
        room[0] = (byte)'\\';
        for (int i = 0; i < ShortEscapes.Length; i += 2)
        {
            if (ShortEscapes[i] == unit)
            {
                room[1] = (byte)ShortEscapes[i + 1];
                return 2;
            }
        }

        room[1] = (byte)'u';
        ((int)unit).TryFormat(room[2..], out _, "X4", CultureInfo.InvariantCulture);
        return MaximumEscapeBytes;
    }

    private void Open(byte bracket)
    {
        Begin(1)[0] = bracket;
        Length++;
        _follows = false;
    }

    private void Close(byte bracket)
    {
        Room(1)[0] = bracket;
        Length++;
        _follows = true;
    }

    /// <summary>Puts a comma if one is due, and gives room for what follows it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Span<byte> Begin(int length)
    {
        Span<byte> room = Room(length + 2);
        if (!_follows)
        {
            _follows = true;
            return room;
        }

        room[0] = (byte)',';
        room[1] = (byte)' ';
        Length += 2;
        return room[2..];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Span<byte> Room(int length)
    {
        if (_bytes.Length - Length < length)
        {
            Grow(length);
        }

        return _bytes.AsSpan(Length, length);
    }

    private void Grow(int length) => Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, Length + length));
}
