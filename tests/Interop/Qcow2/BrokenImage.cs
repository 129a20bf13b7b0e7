using System.Buffers.Binary;

namespace Interop.Qcow2;

/// <summary>Damages an image's structures in a random way: refcounts, entries of L1, L2, refcount and bitmap tables.</summary>
internal sealed class BrokenImage(byte[] image, Random random)
{
    private const ulong OffsetMask = 0x00FF_FFFF_FFFF_FE00;
    private const ulong Copied = 1UL << 63;

    private readonly int _clusterBits = BinaryPrimitives.ReadInt32BigEndian(image.AsSpan(20));

    private long L1 => (long)Read(40);

    private int ClusterBytes => 1 << _clusterBits;

    private int EntryBytes => (image[79] & 16) != 0 ? 16 : 8;

    /// <summary>Makes one change.</summary>
    /// <returns>What it was.</returns>
    public string Damage() => random.Next(9) switch
    {
        0 or 1 => DamageRefcount(),
        2 => Change(L1Entry(), entry => entry ^ Copied, "copied flag of an L1 entry"),
        3 => Change(L2Entry(), entry => entry ^ Copied, "copied flag of an L2 entry"),
        4 => Change(L2Entry(), entry => (entry & ~OffsetMask) | (Read(L2Entry()) & OffsetMask), "an L2 entry becomes another's"),
        5 => Change(L2Entry(), _ => (ulong)(512 * random.Next(1, 7)) | 1 | ((ulong)random.Next(1, 20) << _clusterBits), "a kept cluster that is not aligned"),
        6 => Change(L2Entry(), _ => Copied | ((ulong)random.Next(100_000, 200_000) << _clusterBits), "an L2 entry beyond the file"),
        7 => Change(L2Entry(), entry => entry | (1UL << random.Next(1, 9)), "reserved bits of an L2 entry"),
        _ => Change(L2Entry(), _ => 0, "an L2 entry is lost"),
    };

    private string DamageRefcount()
    {
        long block = (long)Read((long)Read(48));
        int cluster = random.Next(Math.Min(image.Length >> _clusterBits, ClusterBytes / 2));
        Span<byte> refcount = image.AsSpan((int)block + (cluster * 2), 2);
        ushort value = (ushort)random.Next(3);
        string what = $"refcount of cluster {cluster} {BinaryPrimitives.ReadUInt16BigEndian(refcount)} -> {value}";
        BinaryPrimitives.WriteUInt16BigEndian(refcount, value);
        return what;
    }

    private string Change(long at, Func<ulong, ulong> change, string what)
    {
        ulong before = Read(at);
        BinaryPrimitives.WriteUInt64BigEndian(image.AsSpan((int)at), change(before));
        return $"{what}: {before:x} -> {Read(at):x}";
    }

    private long L1Entry()
    {
        int count = BinaryPrimitives.ReadInt32BigEndian(image.AsSpan(36));
        long at = L1 + (random.Next(count) * 8);
        return (Read(at) & OffsetMask) == 0 ? L1 : at;
    }

    private long L2Entry()
    {
        for (int tries = 0; ; tries++)
        {
            long table = (long)(Read(L1Entry()) & OffsetMask);
            long at = table + (random.Next(ClusterBytes / EntryBytes) * EntryBytes);
            if (Read(at) != 0 || tries > 200)
            {
                return at;
            }
        }
    }

    private ulong Read(long at) => BinaryPrimitives.ReadUInt64BigEndian(image.AsSpan((int)at));
}
