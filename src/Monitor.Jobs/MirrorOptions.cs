using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Jobs;

/// <summary>What a mirror is told (QAPI <c>blockdev-mirror</c>, <c>drive-mirror</c>).</summary>
public sealed record MirrorOptions : BlockJobSettings
{
    /// <summary>The node to copy; its users move to the target at the end.</summary>
    public required BlockNode Source { get; init; }

    /// <summary>The node to copy to, of the same size.</summary>
    public required BlockNode Target { get; init; }

    /// <summary>What is copied: full, top or none.</summary>
    public required MirrorSyncMode Sync { get; init; }

    /// <summary>How guest writes reach the target.</summary>
    public MirrorCopyMode CopyMode { get; init; } = MirrorCopyMode.Background;

    /// <summary>Node-name of the node that the target replaces at the end; <see langword="null"/> for the source.</summary>
    public string? Replaces { get; init; }

    /// <summary>Node-name of the filter; <see langword="null"/> for a generated one.</summary>
    public string? FilterNodeName { get; init; }

    /// <summary>Bytes per bit of the job's bitmap; 0 for the target's cluster size within 4 KiB and 64 KiB.</summary>
    public long GranularityBytes { get; init; }

    /// <summary>Bytes that may be under way at once; 0 leaves it to the job.</summary>
    public long BufferSizeBytes { get; init; }

    /// <summary>Whether zeroed ranges of the target may be unallocated.</summary>
    public bool Unmap { get; init; } = true;

    /// <summary>Whether the target is known to read as zeroes (just created): zero ranges are then left out.</summary>
    public bool TargetIsZero { get; init; }
}
