using System.Buffers.Binary;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>The fixed part of the header (qcow2 spec, "Header"), field by field.</summary>
internal sealed class Qcow2Header
{
    /// <summary>Bytes of the header that this code knows.</summary>
    public const int KnownBytes = 112;

    public uint Version { get; set; }

    public ulong BackingFileOffset { get; set; }

    public uint BackingFileBytes { get; set; }

    public uint ClusterBits { get; set; }

    public ulong SizeBytes { get; set; }

    public uint EncryptionMethod { get; set; }

    /// <summary>Entries of the active L1 table.</summary>
    public uint L1Entries { get; set; }

    public ulong L1Offset { get; set; }

    public ulong RefcountTableOffset { get; set; }

    public uint RefcountTableClusters { get; set; }

    public uint SnapshotCount { get; set; }

    public ulong SnapshotsOffset { get; set; }

    public Qcow2IncompatibleFeatures Incompatible { get; set; }

    public Qcow2CompatibleFeatures Compatible { get; set; }

    public Qcow2AutoclearFeatures Autoclear { get; set; }

    /// <summary>Refcounts are 2 to the power of this many bits wide.</summary>
    public uint RefcountOrder { get; set; } = 4;

    /// <summary>Bytes of the header, where the extensions begin.</summary>
    public uint HeaderBytes { get; set; } = Qcow2Format.Version2HeaderBytes;

    /// <summary>0 zlib, 1 zstd.</summary>
    public byte CompressionType { get; set; }

    /// <summary>Bytes per cluster; valid once the cluster bits were checked.</summary>
    public int ClusterBytes => 1 << (int)ClusterBits;

    /// <summary>Reads the fields; a version 2 header gets the defaults of the fields it lacks. Checks nothing.</summary>
    /// <param name="source">At least <see cref="KnownBytes"/> bytes.</param>
    public static Qcow2Header Read(ReadOnlySpan<byte> source)
    {
        var header = new Qcow2Header
        {
            Version = BinaryPrimitives.ReadUInt32BigEndian(source[4..]),
            BackingFileOffset = BinaryPrimitives.ReadUInt64BigEndian(source[8..]),
            BackingFileBytes = BinaryPrimitives.ReadUInt32BigEndian(source[16..]),
            ClusterBits = BinaryPrimitives.ReadUInt32BigEndian(source[20..]),
            SizeBytes = BinaryPrimitives.ReadUInt64BigEndian(source[24..]),
            EncryptionMethod = BinaryPrimitives.ReadUInt32BigEndian(source[32..]),
            L1Entries = BinaryPrimitives.ReadUInt32BigEndian(source[36..]),
            L1Offset = BinaryPrimitives.ReadUInt64BigEndian(source[40..]),
            RefcountTableOffset = BinaryPrimitives.ReadUInt64BigEndian(source[48..]),
            RefcountTableClusters = BinaryPrimitives.ReadUInt32BigEndian(source[56..]),
            SnapshotCount = BinaryPrimitives.ReadUInt32BigEndian(source[60..]),
            SnapshotsOffset = BinaryPrimitives.ReadUInt64BigEndian(source[64..]),
        };
        if (header.Version >= 3)
        {
            header.Incompatible = (Qcow2IncompatibleFeatures)BinaryPrimitives.ReadUInt64BigEndian(source[72..]);
            header.Compatible = (Qcow2CompatibleFeatures)BinaryPrimitives.ReadUInt64BigEndian(source[80..]);
            header.Autoclear = (Qcow2AutoclearFeatures)BinaryPrimitives.ReadUInt64BigEndian(source[88..]);
            header.RefcountOrder = BinaryPrimitives.ReadUInt32BigEndian(source[96..]);
            header.HeaderBytes = BinaryPrimitives.ReadUInt32BigEndian(source[100..]);
            header.CompressionType = header.HeaderBytes > 104 ? source[104] : (byte)0;
        }

        return header;
    }

    /// <summary>Writes the fields that <see cref="HeaderBytes"/> has room for; later bytes stay as they are.</summary>
    /// <param name="destination">At least <see cref="HeaderBytes"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, Qcow2Format.Magic);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], Version);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], BackingFileOffset);
        BinaryPrimitives.WriteUInt32BigEndian(destination[16..], BackingFileBytes);
        BinaryPrimitives.WriteUInt32BigEndian(destination[20..], ClusterBits);
        BinaryPrimitives.WriteUInt64BigEndian(destination[24..], SizeBytes);
        BinaryPrimitives.WriteUInt32BigEndian(destination[32..], EncryptionMethod);
        BinaryPrimitives.WriteUInt32BigEndian(destination[36..], L1Entries);
        BinaryPrimitives.WriteUInt64BigEndian(destination[40..], L1Offset);
        BinaryPrimitives.WriteUInt64BigEndian(destination[48..], RefcountTableOffset);
        BinaryPrimitives.WriteUInt32BigEndian(destination[56..], RefcountTableClusters);
        BinaryPrimitives.WriteUInt32BigEndian(destination[60..], SnapshotCount);
        BinaryPrimitives.WriteUInt64BigEndian(destination[64..], SnapshotsOffset);
        if (Version >= 3)
        {
            BinaryPrimitives.WriteUInt64BigEndian(destination[72..], (ulong)Incompatible);
            BinaryPrimitives.WriteUInt64BigEndian(destination[80..], (ulong)Compatible);
            BinaryPrimitives.WriteUInt64BigEndian(destination[88..], (ulong)Autoclear);
            BinaryPrimitives.WriteUInt32BigEndian(destination[96..], RefcountOrder);
            BinaryPrimitives.WriteUInt32BigEndian(destination[100..], HeaderBytes);
            if (HeaderBytes > 104)
            {
                destination[104] = CompressionType;
            }
        }
    }
}
