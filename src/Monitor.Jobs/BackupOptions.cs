using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Jobs;

/// <summary>What a backup is told (QAPI <c>BackupCommon</c>).</summary>
public sealed record BackupOptions : BlockJobSettings
{
    /// <summary>The node to copy.</summary>
    public required BlockNode Source { get; init; }

    /// <summary>The node to copy to, of the same size.</summary>
    public required BlockNode Target { get; init; }

    /// <summary>What is copied.</summary>
    public required MirrorSyncMode Sync { get; init; }

    /// <summary>Name of the source's bitmap that guides the copy, or is cleared by it.</summary>
    public string? Bitmap { get; init; }

    /// <summary>When the bitmap changes; required with a bitmap, except for <c>sync: incremental</c>.</summary>
    public BitmapSyncMode? BitmapMode { get; init; }

    /// <summary>Whether to write compressed clusters.</summary>
    public bool Compress { get; init; }

    /// <summary>Node-name of the filter; <see langword="null"/> for a generated one.</summary>
    public string? FilterNodeName { get; init; }

    /// <summary><c>x-perf</c>: limits of the copy.</summary>
    public BackupPerf? Perf { get; init; }

    /// <summary>Whether what was copied is discarded in the source.</summary>
    public bool DiscardSource { get; init; }

    /// <summary>Whether a failed copy before a write fails that write; otherwise it fails the backup.</summary>
    public bool FailsGuestWrites { get; init; }

    /// <summary>Whether the target is known to read as zeroes (just created): zero ranges are then left out.</summary>
    public bool TargetIsZero { get; init; }
}
