using System.Buffers.Binary;

namespace Monitor.Nbd;

/// <summary>The data of <see cref="NbdOption.ListMetaContext"/> and <see cref="NbdOption.SetMetaContext"/>.</summary>
/// <param name="ExportName">The export.</param>
/// <param name="Queries">Names of contexts or, to list, namespaces such as <c>base:</c>.</param>
public sealed record NbdMetaContextQuery(string ExportName, IReadOnlyList<string> Queries)
{
    /// <summary>Bytes on the wire.</summary>
    public int Size => NbdString.SizeOf(ExportName) + 4 + Queries.Sum(NbdString.SizeOf);

    /// <summary>Reads the whole data of an option.</summary>
    /// <param name="source">The data.</param>
    /// <param name="query">What was read.</param>
    /// <returns>Whether the lengths within agree with the data's.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdMetaContextQuery query)
    {
        query = new NbdMetaContextQuery("", []);
        if (!NbdString.TryTake(ref source, out string name) || !BinaryPrimitives.TryReadUInt32BigEndian(source, out uint count))
        {
            return false;
        }

        source = source[4..];
        var queries = new List<string>();
        for (uint i = 0; i < count; i++)
        {
            if (!NbdString.TryTake(ref source, out string text))
            {
                return false;
            }

            queries.Add(text);
        }

        query = new NbdMetaContextQuery(name, queries);
        return source.IsEmpty;
    }

    /// <summary>Writes it.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        Span<byte> rest = NbdString.Write(destination, ExportName);
        BinaryPrimitives.WriteUInt32BigEndian(rest, (uint)Queries.Count);
        rest = rest[4..];
        foreach (string query in Queries)
        {
            rest = NbdString.Write(rest, query);
        }
    }
}
