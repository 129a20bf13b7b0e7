using System.Globalization;
using System.Text;
using Monitor.Qapi.Keyval;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary>Numbers as qemu-io reads and prints them.</summary>
internal static class QemuIoNumber
{
    /// <summary>Bytes that one request may have.</summary>
    public const long MaximumRequest = int.MaxValue / 512 * 512;

    private static readonly string[] s_units = [" bytes", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"];

    /// <summary>Bytes, perhaps with a fraction and a suffix.</summary>
    /// <exception cref="QemuIoException">The text is none.</exception>
    public static long ParseSize(string text) => KeyvalScalar.ParseSize(Encoding.UTF8.GetBytes(text)) switch
    {
        null => throw new QemuIoException($"Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- {text}"),
        > long.MaxValue => throw new QemuIoException($"Parsing error: argument too large -- {text}"),
        { } value => (long)value,
    };

    /// <summary>The length of a request.</summary>
    /// <exception cref="QemuIoException">The text is none, or too long.</exception>
    public static int ParseLength(string text)
    {
        long length = ParseSize(text);
        return length <= MaximumRequest ? (int)length : throw new QemuIoException($"length cannot exceed {MaximumRequest}, given {text}");
    }

    /// <summary>The lengths of a vector; gives their sum.</summary>
    /// <exception cref="QemuIoException">A text is none, or they are too long.</exception>
    public static int ParseLengths(IEnumerable<string> texts)
    {
        long sum = 0;
        foreach (string text in texts)
        {
            long length = ParseSize(text);
            if (length > MaximumRequest)
            {
                throw new QemuIoException($"Argument '{text}' exceeds maximum size {MaximumRequest}");
            }

            sum += length;
            if (sum > MaximumRequest)
            {
                throw new QemuIoException($"The total number of bytes exceed the maximum size {MaximumRequest}");
            }
        }

        return (int)sum;
    }

    /// <summary>The byte of a pattern.</summary>
    /// <exception cref="QemuIoException">The text is none.</exception>
    public static byte ParsePattern(string text) => KeyvalScalar.ParseInt64(Encoding.UTF8.GetBytes(text)) is >= 0 and <= 255 and long value
        ? (byte)value
        : throw new QemuIoException($"{text} is not a valid pattern byte");

    /// <summary>Bytes for people: in the largest unit, with three decimals unless they are zero.</summary>
    public static string Describe(double bytes)
    {
        int unit = 0;
        for (double value = bytes; value >= 1024 && unit < s_units.Length - 1; unit++)
        {
            value /= 1024;
        }

        string digits = (bytes / Math.Pow(1024, unit)).ToString(unit == 0 ? "F6" : "F3", CultureInfo.InvariantCulture);
        int zeroes = digits.IndexOf(".000", StringComparison.Ordinal);
        return (zeroes < 0 ? digits : digits[..zeroes]) + s_units[unit];
    }
}
