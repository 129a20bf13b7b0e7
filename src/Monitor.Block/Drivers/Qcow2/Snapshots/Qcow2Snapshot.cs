using System.Buffers.Binary;
using System.Text;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>One entry of the snapshot table (qcow2 spec, "Snapshots"): a table of clusters as it was, and what is said of it.</summary>
internal sealed record Qcow2Snapshot
{
    /// <summary>Bytes of an entry's fixed part.</summary>
    public const int FixedBytes = 40;

    /// <summary>Bytes of the extra data that this code knows: state size, disk size, instruction count.</summary>
    public const int KnownExtraBytes = 24;

    /// <summary>What <see cref="Icount"/> says when instructions are not counted.</summary>
    public const ulong NoIcount = ulong.MaxValue;

    private const int DiskSizeEnd = 16;

    /// <summary>Bytes that a name may take in UTF-8; longer ones are cut, as the reference implementation does.</summary>
    public const int MaximumNameBytes = 255;

    public required ulong L1Offset { get; init; }

    public required uint L1Entries { get; init; }

    /// <summary>The id as stored: by custom a decimal number.</summary>
    public required byte[] IdBytes { get; init; }

    /// <summary>The name as stored; others may have put in what is no UTF-8.</summary>
    public required byte[] NameBytes { get; init; }

    public string Id => Qcow2Format.Text(IdBytes);

    public string Name => Qcow2Format.Text(NameBytes);

    /// <summary>Whole seconds since 1970.</summary>
    public required uint DateSeconds { get; init; }

    public required uint DateNanoseconds { get; init; }

    /// <summary>The machine's clock in nanoseconds.</summary>
    public required ulong VmClockNanoseconds { get; init; }

    public ulong VmStateBytes { get; init; }

    /// <summary>The disk's size when it was taken; <see langword="null"/> if the entry does not say.</summary>
    public ulong? DiskBytes { get; init; }

    /// <summary>Instructions executed, or <see cref="NoIcount"/>.</summary>
    public ulong Icount { get; init; } = NoIcount;

    /// <summary>Extra data that this code does not know; kept.</summary>
    public byte[] UnknownExtra { get; init; } = [];

    /// <summary>Bytes of the extra data and names that follow a fixed part, padding included.</summary>
    /// <param name="fixedPart">At least <see cref="FixedBytes"/> bytes.</param>
    public static long VariableBytes(ReadOnlySpan<byte> fixedPart) =>
        ExtraBytes(fixedPart) + (long)BinaryPrimitives.ReadUInt16BigEndian(fixedPart[12..]) + BinaryPrimitives.ReadUInt16BigEndian(fixedPart[14..]);

    /// <summary>Bytes of the extra data.</summary>
    /// <param name="fixedPart">At least <see cref="FixedBytes"/> bytes.</param>
    public static uint ExtraBytes(ReadOnlySpan<byte> fixedPart) => BinaryPrimitives.ReadUInt32BigEndian(fixedPart[36..]);

    /// <summary>Reads an entry; checks nothing.</summary>
    /// <param name="source">The whole entry: fixed part and <see cref="VariableBytes"/>.</param>
    public static Qcow2Snapshot Read(ReadOnlySpan<byte> source)
    {
        int extraBytes = (int)ExtraBytes(source);
        int idBytes = BinaryPrimitives.ReadUInt16BigEndian(source[12..]);
        int nameBytes = BinaryPrimitives.ReadUInt16BigEndian(source[14..]);
        ReadOnlySpan<byte> extra = source.Slice(FixedBytes, extraBytes);
        ReadOnlySpan<byte> names = source[(FixedBytes + extraBytes)..];
        return new Qcow2Snapshot
        {
            L1Offset = BinaryPrimitives.ReadUInt64BigEndian(source),
            L1Entries = BinaryPrimitives.ReadUInt32BigEndian(source[8..]),
            IdBytes = names[..idBytes].ToArray(),
            NameBytes = names.Slice(idBytes, nameBytes).ToArray(),
            DateSeconds = BinaryPrimitives.ReadUInt32BigEndian(source[16..]),
            DateNanoseconds = BinaryPrimitives.ReadUInt32BigEndian(source[20..]),
            VmClockNanoseconds = BinaryPrimitives.ReadUInt64BigEndian(source[24..]),
            VmStateBytes = extraBytes >= sizeof(ulong) ? BinaryPrimitives.ReadUInt64BigEndian(extra) : BinaryPrimitives.ReadUInt32BigEndian(source[32..]),
            DiskBytes = extraBytes >= DiskSizeEnd ? BinaryPrimitives.ReadUInt64BigEndian(extra[8..]) : null,
            Icount = extraBytes >= KnownExtraBytes ? BinaryPrimitives.ReadUInt64BigEndian(extra[16..]) : NoIcount,
            UnknownExtra = extraBytes > KnownExtraBytes ? extra[KnownExtraBytes..].ToArray() : [],
        };
    }

    /// <summary>The entry as the table holds it, padded to 8 bytes.</summary>
    /// <param name="diskBytes">What to say where the entry did not give the disk's size.</param>
    public byte[] ToBytes(ulong diskBytes)
    {
        int extraBytes = KnownExtraBytes + UnknownExtra.Length;
        byte[] bytes = new byte[(FixedBytes + extraBytes + IdBytes.Length + NameBytes.Length + 7) & ~7];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, L1Offset);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(8), L1Entries);
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(12), (ushort)IdBytes.Length);
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(14), (ushort)NameBytes.Length);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(16), DateSeconds);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(20), DateNanoseconds);
        BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(24), VmClockNanoseconds);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(32), (uint)Math.Min(VmStateBytes, uint.MaxValue));
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(36), (uint)extraBytes);
        BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(FixedBytes), VmStateBytes);
        BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(FixedBytes + 8), DiskBytes ?? diskBytes);
        BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(FixedBytes + 16), Icount);
        UnknownExtra.CopyTo(bytes, FixedBytes + KnownExtraBytes);
        IdBytes.CopyTo(bytes, FixedBytes + extraBytes);
        NameBytes.CopyTo(bytes, FixedBytes + extraBytes + IdBytes.Length);
        return bytes;
    }
}
