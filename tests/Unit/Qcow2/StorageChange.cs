namespace Unit.Qcow2;

/// <summary>A write, or (without bytes) a truncation, that reached a storage.</summary>
internal readonly record struct StorageChange(long Offset, byte[]? Bytes)
{
    private const int SectorBytes = 512;

    /// <summary>Does it to a content.</summary>
    public void ApplyTo(StorageContent content)
    {
        if (Bytes is null)
        {
            content.Truncate(Offset);
        }
        else
        {
            content.Write(Offset, Bytes);
        }
    }

    /// <summary>What is left of it when the power failed before a flush: all, some sectors or nothing.</summary>
    public void ApplyPartlyTo(StorageContent content, Random random)
    {
        int luck = random.Next(3);
        if (luck == 0)
        {
            return;
        }

        if (Bytes is null)
        {
            content.Truncate(Offset);
            return;
        }

        for (int at = 0; at < Bytes.Length;)
        {
            int part = (int)Math.Min(Bytes.Length - at, SectorBytes - ((Offset + at) % SectorBytes));
            if (luck == 1 || random.Next(2) == 0)
            {
                content.Write(Offset + at, Bytes.AsSpan(at, part));
            }

            at += part;
        }
    }
}
