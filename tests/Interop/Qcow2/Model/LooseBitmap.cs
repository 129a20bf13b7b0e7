namespace Interop.Qcow2.Model;

/// <summary>What a dirty bitmap must and may hold, granule by granule: a write that was under way when the bitmap changed may have fallen on either side.</summary>
internal sealed class LooseBitmap(long sizeBytes, uint granularity)
{
    private bool[] _must = new bool[Granules(sizeBytes, granularity)];
    private bool[] _may = new bool[Granules(sizeBytes, granularity)];

    public uint Granularity => granularity;

    /// <summary>Whether it records.</summary>
    public bool IsEnabled { get; set; } = true;

    public bool IsPersistent { get; init; }

    /// <summary>Counts what was done to it but recording.</summary>
    public int Changes { get; private set; }

    public void Change(Action change)
    {
        Changes++;
        change();
    }

    public void Clear()
    {
        Array.Clear(_must);
        Array.Clear(_may);
    }

    public void Merge(LooseBitmap source)
    {
        (bool[] must, bool[] may) = ([.. source._must], [.. source._may]);
        for (int i = 0; i < may.Length; i++)
        {
            if (may[i])
            {
                Set(i * (long)source.Granularity, source.Granularity, must[i]);
            }
        }
    }

    /// <summary>Notes a write.</summary>
    public void Set(long offset, long length, bool isCertain)
    {
        long end = Math.Min(_may.Length, (offset + length + granularity - 1) / granularity);
        for (long granule = offset / granularity; granule < end; granule++)
        {
            _may[granule] = true;
            _must[granule] |= isCertain;
        }
    }

    public void Resize(long bytes)
    {
        Array.Resize(ref _must, Granules(bytes, granularity));
        Array.Resize(ref _may, Granules(bytes, granularity));
    }

    /// <summary>Compares with the real one while nothing is under way, and takes that for true from now on.</summary>
    /// <returns>Where they differ, in bytes, or -1.</returns>
    public long FindDifference(Func<long, bool> isDirty)
    {
        for (int i = 0; i < _may.Length; i++)
        {
            bool dirty = isDirty(i * (long)granularity);
            if (dirty ? !_may[i] : _must[i])
            {
                return i * (long)granularity;
            }

            (_must[i], _may[i]) = (dirty, dirty);
        }

        return -1;
    }

    private static int Granules(long bytes, uint granularity) => (int)((bytes + granularity - 1) / granularity);
}
