using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>What a node's options are where its definition is silent: the defaults of a root, or what its parent passes down.</summary>
/// <remarks>
/// A child takes caching, force-share, inactivity and writability from its parent, except that a backing node is read-only. Discards of a
/// child default to <c>unmap</c>: whether a discard comes down at all is its parent's decision. Detecting zeroes is never passed on.
/// </remarks>
internal readonly record struct BlockNodeInheritance(
    bool ReadOnly, bool AutoReadOnly, bool DiscardUnmap, bool CacheDirect, bool CacheNoFlush, bool ForceShare, bool BeginsInactive)
{
    /// <summary>The defaults of a node without parent.</summary>
    public static BlockNodeInheritance Root => default;

    /// <summary>What a child that holds its parent's data gets.</summary>
    public static BlockNodeInheritance Child(BlockNodeSettings parent) =>
        new(parent.ReadOnly, parent.AutoReadOnly, true, parent.CacheDirect, parent.CacheNoFlush, parent.ForceShare, parent.BeginsInactive);

    /// <summary>What a backing node gets.</summary>
    public static BlockNodeInheritance Backing(BlockNodeSettings parent) =>
        Child(parent) with { ReadOnly = true, AutoReadOnly = false };

    /// <summary>The settings of a node with these options; whether they contradict each other is not looked at.</summary>
    public BlockNodeSettings Settle(BlockdevOptions options, string nodeName) => new()
    {
        NodeName = nodeName,
        ReadOnly = options.ReadOnly ?? ReadOnly,
        AutoReadOnly = options.AutoReadOnly ?? AutoReadOnly,
        DiscardUnmap = options.Discard is { } discard ? discard == BlockdevDiscardOptions.Unmap : DiscardUnmap,
        DetectZeroes = Mode(options.DetectZeroes),
        CacheDirect = options.Cache?.Direct ?? CacheDirect,
        CacheNoFlush = options.Cache?.NoFlush ?? CacheNoFlush,
        ForceShare = options.ForceShare ?? ForceShare,
        BeginsInactive = BeginsInactive || options.Active == false,
    };

    private static DetectZeroesMode Mode(BlockdevDetectZeroesOptions? option) => option switch
    {
        BlockdevDetectZeroesOptions.On => DetectZeroesMode.On,
        BlockdevDetectZeroesOptions.Unmap => DetectZeroesMode.Unmap,
        _ => DetectZeroesMode.Off,
    };
}
