using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Reads and writes the refcounts of one block, which are 1 to 64 bits wide (qcow2 spec, "Refcounts").</summary>
/// <param name="order">The width is 2 to the power of this; 0 to 6.</param>
internal readonly struct RefcountWidth(int order)
{
    /// <summary>Bits of one refcount.</summary>
    public int Bits => 1 << order;

    /// <summary>The largest refcount.</summary>
    public ulong Maximum => order == 6 ? ulong.MaxValue : (1UL << Bits) - 1;

    /// <summary>Refcounts in a block of so many bytes.</summary>
    public int EntriesIn(int bytes) => bytes << 3 >> order;

    public ulong Read(ReadOnlySpan<byte> block, int index) => order switch
    {
        3 => block[index],
        4 => BinaryPrimitives.ReadUInt16BigEndian(block[(index << 1)..]),
        5 => BinaryPrimitives.ReadUInt32BigEndian(block[(index << 2)..]),
        6 => BinaryPrimitives.ReadUInt64BigEndian(block[(index << 3)..]),
        _ => (ulong)(block[index << order >> 3] >> Shift(index)) & Maximum,
    };

    public void Write(Span<byte> block, int index, ulong value)
    {
        switch (order)
        {
            case 3:
                block[index] = (byte)value;
                break;
            case 4:
                BinaryPrimitives.WriteUInt16BigEndian(block[(index << 1)..], (ushort)value);
                break;
            case 5:
                BinaryPrimitives.WriteUInt32BigEndian(block[(index << 2)..], (uint)value);
                break;
            case 6:
                BinaryPrimitives.WriteUInt64BigEndian(block[(index << 3)..], value);
                break;
            default:
                ref byte shared = ref block[index << order >> 3];
                shared = (byte)((shared & ~((int)Maximum << Shift(index))) | ((int)value << Shift(index)));
                break;
        }
    }

    /// <summary>The first refcount of zero at or after <paramref name="start"/>, or -1.</summary>
    public int FindFree(ReadOnlySpan<byte> block, int start)
    {
        int found = order switch
        {
            3 => block[start..].IndexOf((byte)0),
            4 => MemoryMarshal.Cast<byte, ushort>(block)[start..].IndexOf((ushort)0),
            5 => MemoryMarshal.Cast<byte, uint>(block)[start..].IndexOf(0U),
            6 => MemoryMarshal.Cast<byte, ulong>(block)[start..].IndexOf(0UL),
            _ => FindFreeBits(block, start) - start,
        };
        return found < 0 ? -1 : start + found;
    }

    /// <summary>How many refcounts from <paramref name="start"/> on are zero, up to <paramref name="limit"/>.</summary>
    public int CountFree(ReadOnlySpan<byte> block, int start, int limit)
    {
        int count = 0;
        while (count < limit && Read(block, start + count) == 0)
        {
            count++;
        }

        return count;
    }

    private int FindFreeBits(ReadOnlySpan<byte> block, int start)
    {
        for (int i = start, entries = EntriesIn(block.Length); i < entries; i++)
        {
            if (Read(block, i) == 0)
            {
                return i;
            }
        }

        return start - 1;
    }

    private int Shift(int index) => index << order & 7;
}
