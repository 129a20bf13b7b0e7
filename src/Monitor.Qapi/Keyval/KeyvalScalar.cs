using System.Globalization;

namespace Monitor.Qapi.Keyval;

/// <summary>Converts the text of a command-line value; every method answers <see langword="null"/> for what is none.</summary>
public static class KeyvalScalar
{
    /// <summary><c>on yes true y</c> or <c>off no false n</c>.</summary>
    public static bool? ParseBool(ReadOnlySpan<byte> text)
    {
        if (text.SequenceEqual("on"u8) || text.SequenceEqual("yes"u8) || text.SequenceEqual("true"u8) || text.SequenceEqual("y"u8))
        {
            return true;
        }

        bool isFalse = text.SequenceEqual("off"u8) || text.SequenceEqual("no"u8) || text.SequenceEqual("false"u8) || text.SequenceEqual("n"u8);
        return isFalse ? false : null;
    }

    /// <summary>An integer as C reads it: leading blanks, a sign, <c>0x</c> for hexadecimal, <c>0</c> for octal.</summary>
    public static long? ParseInt64(ReadOnlySpan<byte> text)
    {
        if (ParseMagnitude(text, out bool isNegative) is not { } magnitude)
        {
            return null;
        }

        return isNegative
            ? (magnitude <= 1UL << 63 ? unchecked(-(long)magnitude) : null)
            : (magnitude <= long.MaxValue ? (long)magnitude : null);
    }

    /// <summary>As <see cref="ParseInt64"/>, a negative one modulo 2⁶⁴.</summary>
    public static ulong? ParseUInt64(ReadOnlySpan<byte> text)
    {
        var magnitude = ParseMagnitude(text, out bool isNegative);
        return isNegative ? unchecked(0 - magnitude) : magnitude;
    }

    /// <summary>Bytes: digits with an optional fraction and an optional suffix <c>B k M G T P E</c> (powers of 1024), or hexadecimal.</summary>
    public static ulong? ParseSize(ReadOnlySpan<byte> text)
    {
        text = SkipBlanks(text);
        if (!text.IsEmpty && text[0] == '+')
        {
            text = text[1..];
        }

        bool isHex = text.StartsWith("0x"u8) || text.StartsWith("0X"u8);
        text = isHex ? text[2..] : text;
        int digits = CountDigits(text, isHex ? 16 : 10);
        if (ParseDigits(text[..digits], isHex ? 16U : 10U) is not { } whole)
        {
            return null;
        }

        text = text[digits..];
        int fractionLength = 0;
        if (!isHex && !text.IsEmpty && text[0] == '.')
        {
            fractionLength = 1 + CountDigits(text[1..], 10);
        }

        double fraction = fractionLength > 1 ? double.Parse(text[..fractionLength], CultureInfo.InvariantCulture) : 0;
        return Scale(whole, fraction, text[fractionLength..]);
    }

    /// <summary>A decimal number with optional fraction and exponent.</summary>
    public static double? ParseNumber(ReadOnlySpan<byte> text) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) ? value : null;

    private static ulong? Scale(ulong whole, double fraction, ReadOnlySpan<byte> suffix)
    {
        int power = suffix.Length switch
        {
            0 => 0,
            1 => "bkmgtpe".IndexOf((char)(suffix[0] | 0x20)),
            _ => -1,
        };
        if (power < 0 || (power == 0 && fraction > 0))
        {
            return null;
        }

        ulong unit = 1UL << (10 * power);
        var size = ((UInt128)whole * unit) + (ulong)((fraction * unit) + 0.5);
        return size <= ulong.MaxValue ? (ulong)size : null;
    }

    private static ulong? ParseMagnitude(ReadOnlySpan<byte> text, out bool isNegative)
    {
        text = SkipBlanks(text);
        isNegative = !text.IsEmpty && text[0] == '-';
        if (!text.IsEmpty && text[0] is (byte)'-' or (byte)'+')
        {
            text = text[1..];
        }

        if (text.StartsWith("0x"u8) || text.StartsWith("0X"u8))
        {
            return ParseDigits(text[2..], 16);
        }

        return ParseDigits(text, text.Length > 1 && text[0] == '0' ? 8U : 10U);
    }

    private static ulong? ParseDigits(ReadOnlySpan<byte> digits, uint radix)
    {
        if (digits.IsEmpty)
        {
            return null;
        }

        UInt128 value = 0;
        foreach (byte digit in digits)
        {
            uint number = (uint)DigitValue(digit);
            value = (value * radix) + number;
            if (number >= radix || value > ulong.MaxValue)
            {
                return null;
            }
        }

        return (ulong)value;
    }

    private static int CountDigits(ReadOnlySpan<byte> text, int radix)
    {
        int count = 0;
        while (count < text.Length && DigitValue(text[count]) < radix)
        {
            count++;
        }

        return count;
    }

    private static int DigitValue(byte digit) => digit switch
    {
        >= (byte)'0' and <= (byte)'9' => digit - '0',
        >= (byte)'a' and <= (byte)'f' => digit - 'a' + 10,
        >= (byte)'A' and <= (byte)'F' => digit - 'A' + 10,
        _ => int.MaxValue,
    };

    private static ReadOnlySpan<byte> SkipBlanks(ReadOnlySpan<byte> text) => text.TrimStart(" \t\n\v\f\r"u8);
}
