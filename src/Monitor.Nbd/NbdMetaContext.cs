using System.Buffers.Binary;
using System.Text;

namespace Monitor.Nbd;

/// <summary>The data of <see cref="NbdOptionReply.MetaContext"/>: a context's name and the number that stands for it afterwards.</summary>
/// <param name="Id">The number; 0 in a list.</param>
/// <param name="Name">The name, such as <c>base:allocation</c>.</param>
public readonly record struct NbdMetaContext(uint Id, string Name)
{
    /// <summary>Bytes on the wire.</summary>
    public int Size => 4 + Encoding.UTF8.GetByteCount(Name);

    /// <summary>Reads it.</summary>
    /// <param name="source">The data of the reply, at least 4 bytes.</param>
    public static NbdMetaContext Read(ReadOnlySpan<byte> source) =>
        new(BinaryPrimitives.ReadUInt32BigEndian(source), Encoding.UTF8.GetString(source[4..]));

    /// <summary>Writes it.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, Id);
        Encoding.UTF8.GetBytes(Name, destination[4..]);
    }
}
