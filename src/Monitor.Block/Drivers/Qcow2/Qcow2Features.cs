namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Bits without which an image cannot be understood (qcow2 spec, header bytes 72-79).</summary>
[Flags]
internal enum Qcow2IncompatibleFeatures : ulong
{
    None = 0,

    /// <summary>Refcounts may be wrong: an image with lazy refcounts was not closed.</summary>
    Dirty = 1,

    /// <summary>Some table is damaged; not to be written.</summary>
    Corrupt = 2,

    /// <summary>Guest data lives in another file.</summary>
    DataFile = 4,

    /// <summary>The compression type is not zlib.</summary>
    CompressionType = 8,

    /// <summary>L2 entries have a bitmap of subclusters.</summary>
    ExtendedL2 = 16,
}

/// <summary>Bits that may be ignored (qcow2 spec, header bytes 80-87).</summary>
[Flags]
internal enum Qcow2CompatibleFeatures : ulong
{
    None = 0,

    /// <summary>Refcount updates may be put off.</summary>
    LazyRefcounts = 1,
}

/// <summary>Bits that whoever writes without knowing them clears (qcow2 spec, header bytes 88-95).</summary>
[Flags]
internal enum Qcow2AutoclearFeatures : ulong
{
    None = 0,

    /// <summary>The bitmaps extension is consistent with the data.</summary>
    Bitmaps = 1,

    /// <summary>The data file is a raw image.</summary>
    RawExternalData = 2,
}

/// <summary>The feature name table that new images carry, so that others can say what they do not support.</summary>
internal static class Qcow2FeatureNames
{
    private const int EntryBytes = 48;
    private const int NameAt = 2;

    private static readonly (byte Type, byte Bit, string Name)[] s_names =
    [
        (0, 0, "dirty bit"),
        (0, 1, "corrupt bit"),
        (0, 2, "external data file"),
        (0, 3, "compression type"),
        (0, 4, "extended L2 entries"),
        (1, 0, "lazy refcounts"),
        (2, 0, "bitmaps"),
        (2, 1, "raw external data"),
    ];

    /// <summary>The table as the header extension holds it.</summary>
    public static byte[] ToExtension()
    {
        byte[] table = new byte[s_names.Length * EntryBytes];
        for (int i = 0; i < s_names.Length; i++)
        {
            Span<byte> entry = table.AsSpan(i * EntryBytes, EntryBytes);
            (entry[0], entry[1]) = (s_names[i].Type, s_names[i].Bit);
            System.Text.Encoding.ASCII.GetBytes(s_names[i].Name, entry[NameAt..]);
        }

        return table;
    }

    /// <summary>Names incompatible bits for an error text, from the image's own table where it has them.</summary>
    /// <param name="bits">The bits, at least one.</param>
    /// <param name="table">The image's table, or empty.</param>
    public static string Describe(ulong bits, ReadOnlySpan<byte> table)
    {
        var names = new List<string>();
        for (; table.Length > NameAt && table[NameAt] != 0 && bits != 0; table = table[Math.Min(EntryBytes, table.Length)..])
        {
            ulong mask = table[0] == 0 && table[1] < 64 ? 1UL << table[1] : 0;
            if ((bits & mask) != 0)
            {
                names.Add(Qcow2Format.Text(table[NameAt..Math.Min(EntryBytes, table.Length)]));
                bits &= ~mask;
            }
        }

        if (bits != 0)
        {
            names.Add($"Unknown incompatible feature: {bits:x}");
        }

        return string.Join(", ", names);
    }
}
