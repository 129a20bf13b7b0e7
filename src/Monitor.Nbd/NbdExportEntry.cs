using System.Text;

namespace Monitor.Nbd;

/// <summary>The data of <see cref="NbdOptionReply.Server"/>: one export of a list.</summary>
/// <param name="Name">The name to ask for.</param>
/// <param name="Description">A text for people; may be empty.</param>
public readonly record struct NbdExportEntry(string Name, string Description)
{
    /// <summary>Bytes on the wire.</summary>
    public int Size => NbdString.SizeOf(Name) + Encoding.UTF8.GetByteCount(Description);

    /// <summary>Reads the whole data of a reply.</summary>
    /// <param name="source">The data.</param>
    /// <param name="entry">What was read.</param>
    /// <returns>Whether the name lies within the data.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdExportEntry entry)
    {
        bool valid = NbdString.TryTake(ref source, out string name);
        entry = new NbdExportEntry(name, valid ? Encoding.UTF8.GetString(source) : "");
        return valid;
    }

    /// <summary>Writes it.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination) => Encoding.UTF8.GetBytes(Description, NbdString.Write(destination, Name));
}
