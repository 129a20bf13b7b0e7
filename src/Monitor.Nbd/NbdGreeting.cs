using System.Buffers.Binary;

namespace Monitor.Nbd;

/// <summary>The server's first bytes: two magic words and its flags.</summary>
/// <param name="Flags">What the server can do.</param>
public readonly record struct NbdGreeting(NbdHandshakeFlags Flags)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 18;

    /// <summary>Reads a newstyle greeting.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    /// <param name="greeting">What was read.</param>
    /// <returns>Whether the magic words are right.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdGreeting greeting)
    {
        greeting = new NbdGreeting((NbdHandshakeFlags)BinaryPrimitives.ReadUInt16BigEndian(source[16..]));
        return BinaryPrimitives.ReadUInt64BigEndian(source) == NbdProtocol.InitMagic
            && BinaryPrimitives.ReadUInt64BigEndian(source[8..]) == NbdProtocol.OptionMagic;
    }

    /// <summary>Writes the greeting.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt64BigEndian(destination, NbdProtocol.InitMagic);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], NbdProtocol.OptionMagic);
        BinaryPrimitives.WriteUInt16BigEndian(destination[16..], (ushort)Flags);
    }
}
