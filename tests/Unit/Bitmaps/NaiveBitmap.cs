namespace Unit.Bitmaps;

/// <summary>The twin: one bool per granule, marked by every write while it records.</summary>
internal sealed class NaiveBitmap(long size, uint granularity)
{
    internal bool[] Bits { get; private set; } = new bool[Granules(size, granularity)];

    internal uint Granularity { get; } = granularity;

    internal long Size { get; private set; } = size;

    internal bool Enabled { get; set; } = true;

    internal NaiveBitmap? Successor { get; set; }

    internal long DirtyBytes => (long)Bits.AsSpan().Count(true) * Granularity;

    internal void Set(long offset, long length)
    {
        length = Math.Min(length, Size - offset);
        if (length <= 0)
            return;
        Bits.AsSpan((int)(offset / Granularity)..((int)((offset + length - 1) / Granularity) + 1)).Fill(true);
    }

    internal void Written(long offset, long length)
    {
        if (Enabled)
            Set(offset, length);
    }

    internal void Clear() => Array.Clear(Bits);

    internal void Reset(long offset, long length) =>
        Bits.AsSpan((int)(offset / Granularity)..(int)Granules(offset + length, Granularity)).Clear();

    internal void Merge(NaiveBitmap source)
    {
        bool[] bits = (bool[])source.Bits.Clone();
        for (long granule = 0; granule < bits.Length; granule++)
        {
            if (bits[granule])
                Set(granule * source.Granularity, source.Granularity);
        }
    }

    internal void Resize(long size)
    {
        bool[] bits = Bits;
        Array.Resize(ref bits, (int)Granules(size, Granularity));
        Bits = bits;
        Size = size;
    }

    internal (long Offset, long Length)? NextDirtyArea(long start, long end, long maxLength)
    {
        end = Math.Min(end, Size);
        for (long position = start; position < end; position = (position / Granularity + 1) * Granularity)
        {
            if (!Bits[position / Granularity])
                continue;
            long stop = position;
            while (stop < end && stop - position < maxLength && Bits[stop / Granularity])
                stop = (stop / Granularity + 1) * Granularity;
            return (position, Math.Min(Math.Min(stop, end) - position, maxLength));
        }

        return null;
    }

    private static long Granules(long size, uint granularity) => (size + granularity - 1) / granularity;
}
