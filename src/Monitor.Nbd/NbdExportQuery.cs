using System.Buffers.Binary;

namespace Monitor.Nbd;

/// <summary>The data of <see cref="NbdOption.Info"/> and <see cref="NbdOption.Go"/>: an export and what the client wants to know of it.</summary>
/// <param name="Name">The export.</param>
/// <param name="Infos">What is asked for.</param>
public sealed record NbdExportQuery(string Name, IReadOnlyList<NbdInfo> Infos)
{
    /// <summary>Bytes on the wire.</summary>
    public int Size => NbdString.SizeOf(Name) + 2 + (2 * Infos.Count);

    /// <summary>Reads the whole data of an option.</summary>
    /// <param name="source">The data.</param>
    /// <param name="query">What was read.</param>
    /// <returns>Whether the lengths within agree with the data's.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdExportQuery query)
    {
        query = new NbdExportQuery("", []);
        if (!NbdString.TryTake(ref source, out string name)
            || !BinaryPrimitives.TryReadUInt16BigEndian(source, out ushort count)
            || source.Length != 2 + (2 * count))
        {
            return false;
        }

        var infos = new NbdInfo[count];
        for (int i = 0; i < count; i++)
        {
            infos[i] = (NbdInfo)BinaryPrimitives.ReadUInt16BigEndian(source[(2 + (2 * i))..]);
        }

        query = new NbdExportQuery(name, infos);
        return true;
    }

    /// <summary>Writes it.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        Span<byte> rest = NbdString.Write(destination, Name);
        BinaryPrimitives.WriteUInt16BigEndian(rest, (ushort)Infos.Count);
        for (int i = 0; i < Infos.Count; i++)
        {
            BinaryPrimitives.WriteUInt16BigEndian(rest[(2 + (2 * i))..], (ushort)Infos[i]);
        }
    }
}
