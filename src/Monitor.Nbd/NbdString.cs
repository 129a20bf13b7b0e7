using System.Buffers.Binary;
using System.Text;

namespace Monitor.Nbd;

/// <summary>A text with its length before it, as options carry names.</summary>
internal static class NbdString
{
    /// <summary>Bytes of length and text.</summary>
    public static int SizeOf(string text) => 4 + Encoding.UTF8.GetByteCount(text);

    /// <summary>Takes a text off the front of <paramref name="source"/>.</summary>
    /// <returns>Whether it lies within the data.</returns>
    public static bool TryTake(ref ReadOnlySpan<byte> source, out string text)
    {
        text = "";
        if (!BinaryPrimitives.TryReadUInt32BigEndian(source, out uint length) || length > source.Length - 4)
        {
            return false;
        }

        text = Encoding.UTF8.GetString(source.Slice(4, (int)length));
        source = source[(4 + (int)length)..];
        return true;
    }

    /// <summary>Writes length and text and gives back what is left of <paramref name="destination"/>.</summary>
    public static Span<byte> Write(Span<byte> destination, string text)
    {
        int length = Encoding.UTF8.GetBytes(text, destination[4..]);
        BinaryPrimitives.WriteUInt32BigEndian(destination, (uint)length);
        return destination[(4 + length)..];
    }
}
