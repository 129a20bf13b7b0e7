using System.Buffers;
using System.Globalization;
using System.Text;

namespace Monitor.Qapi.Json;

/// <summary>Decodes and encodes the text of JSON strings as QEMU does.</summary>
public static class JsonString
{
    /// <summary>Decodes a string in place: the result never takes more room than the source.</summary>
    /// <param name="raw">The string with its quotes; its first bytes receive the decoded UTF-8.</param>
    /// <param name="length">How many bytes the decoded text has.</param>
    /// <returns>What is wrong with the string, or <see langword="null"/>.</returns>
    internal static string? Decode(Span<byte> raw, out int length)
    {
        int read = 1;
        length = 0;
        while (read < raw.Length - 1)
        {
            byte next = raw[read];
            string? error = null;
            if (next == '\\')
            {
                error = DecodeEscape(raw, ref read, ref length);
            }
            else if (next < 0x80)
            {
                raw[length++] = next;
                read++;
            }
            else if (!CopyCharacter(raw, ref read, ref length))
            {
                error = "invalid UTF-8 sequence in string";
            }

            if (error is not null)
            {
                return error;
            }
        }

        return null;
    }

    /// <summary>Encodes a string, quotes included.</summary>
    public static string Quote(string text)
    {
        var writer = new JsonWriter();
        writer.WriteString(text);
        return writer.ToString();
    }

    private static string? DecodeEscape(Span<byte> raw, ref int read, ref int length)
    {
        byte kind = raw[read + 1];
        if (kind == 'u')
        {
            return DecodeUnicodeEscape(raw, ref read, ref length);
        }

        int decoded = kind switch
        {
            (byte)'b' => '\b',
            (byte)'f' => '\f',
            (byte)'n' => '\n',
            (byte)'r' => '\r',
            (byte)'t' => '\t',
            (byte)'/' or (byte)'\\' or (byte)'\'' or (byte)'"' => kind,
            _ => -1,
        };
        if (decoded < 0)
        {
            return "invalid escape sequence in string";
        }

        raw[length++] = (byte)decoded;
        read += 2;
        return null;
    }

    private static string? DecodeUnicodeEscape(Span<byte> raw, ref int read, ref int length)
    {
        int used = 6;
        int codePoint = HexUnit(raw, read);
        if (codePoint is >= 0xD800 and < 0xDC00 && HexUnit(raw, read + 6) is >= 0xDC00 and < 0xE000 and var low)
        {
            codePoint = char.ConvertToUtf32((char)codePoint, (char)low);
            used = 12;
        }

        if (codePoint < 0 || !Rune.IsValid(codePoint) || IsNonCharacter(codePoint))
        {
            var text = raw[read..Math.Min(read + used, raw.Length)];
            return $"{Encoding.UTF8.GetString(text)} is not a valid Unicode character";
        }

        read += used;
        length += new Rune(codePoint).EncodeToUtf8(raw[length..]);
        return null;
    }

    private static int HexUnit(ReadOnlySpan<byte> raw, int at)
    {
        if (at + 6 > raw.Length || raw[at] != '\\' || raw[at + 1] != 'u')
        {
            return -1;
        }

        return ushort.TryParse(raw.Slice(at + 2, 4), NumberStyles.AllowHexSpecifier, null, out ushort unit) ? unit : -1;
    }

    private static bool CopyCharacter(Span<byte> raw, ref int read, ref int length)
    {
        if (raw[read] == 0xC0 && raw[read + 1] == 0x80)
        {
            raw[length++] = 0;
            read += 2;
            return true;
        }

        if (Rune.DecodeFromUtf8(raw[read..], out var rune, out int used) != OperationStatus.Done || IsNonCharacter(rune.Value))
        {
            return false;
        }

        raw.Slice(read, used).CopyTo(raw[length..]);
        read += used;
        length += used;
        return true;
    }

    private static bool IsNonCharacter(int codePoint) => (codePoint & 0xFFFE) == 0xFFFE || codePoint is >= 0xFDD0 and <= 0xFDEF;
}
