using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>The options that every node has (QAPI <c>BlockdevOptions</c>, the members before the driver's own).</summary>
public sealed record BlockNodeSettings
{
    /// <summary>The node-name, given or generated (<c>#block042</c>).</summary>
    public required string NodeName { get; init; }

    /// <summary>Refuses writes.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Whether <see cref="ReadOnly"/> may become true by itself when writing is impossible.</summary>
    public bool AutoReadOnly { get; init; }

    /// <summary>Discards reach the medium (<c>discard: unmap</c>) or end here (<c>ignore</c>, the default).</summary>
    public bool DiscardUnmap { get; init; }

    /// <summary>What is done with writes that hold only zeroes.</summary>
    public DetectZeroesMode DetectZeroes { get; init; }

    /// <summary>What is read from the backing node is kept in the image (<c>copy-on-read</c> of a drive; nodes of their own have a filter for it).</summary>
    public bool CopiesOnRead { get; init; }

    /// <summary>Bypasses the host's page cache (<c>cache.direct</c>).</summary>
    public bool CacheDirect { get; init; }

    /// <summary>Ignores flushes (<c>cache.no-flush</c>).</summary>
    public bool CacheNoFlush { get; init; }

    /// <summary>Both together, for a node that is to be cached alike.</summary>
    public BlockdevCacheOptions Cache => new() { Direct = CacheDirect, NoFlush = CacheNoFlush };

    /// <summary>Opens although another process may write (<c>force-share</c>).</summary>
    public bool ForceShare { get; init; }

    /// <summary>Is inactive once open (<c>active: false</c>); whether it still is <see cref="BlockNode.IsActive"/> says.</summary>
    public bool BeginsInactive { get; init; }

    /// <summary>Refuses <see cref="ForceShare"/> for a node that may write.</summary>
    /// <exception cref="QmpException">It may.</exception>
    internal void CheckForceShare()
    {
        if (ForceShare && !ReadOnly)
        {
            throw new QmpException("force-share=on can only be used with read-only images");
        }
    }

    /// <summary>Refuses unmapping of zeroes where nothing is unmapped.</summary>
    /// <exception cref="QmpException">It is asked for.</exception>
    internal void CheckDetectZeroes()
    {
        if (DetectZeroes == DetectZeroesMode.Unmap && !DiscardUnmap)
        {
            throw new QmpException("setting detect-zeroes to unmap is not allowed without setting discard operation to unmap");
        }
    }
}

/// <summary>What is done with writes that hold only zeroes (QAPI <c>BlockdevDetectZeroesOptions</c>).</summary>
public enum DetectZeroesMode
{
    /// <summary>They are written as they are.</summary>
    Off,

    /// <summary>They become write-zeroes.</summary>
    On,

    /// <summary>They become write-zeroes that may give space back.</summary>
    Unmap,
}
