using Monitor.Block.Bitmaps;

namespace Monitor.Block.Drivers.Filters;

/// <summary>How a <see cref="CopyBeforeWriteNode"/> that the client made copies.</summary>
public sealed record CopyBeforeWriteOptions
{
    /// <summary>Only what it marks when the node is opened is kept; <see langword="null"/> for everything.</summary>
    public DirtyBitmap? Bitmap { get; init; }

    /// <summary>A copy that fails makes the guest's write fail; otherwise the write goes on and what was kept is lost.</summary>
    public bool FailsGuestWrites { get; init; } = true;

    /// <summary>Bytes that are copied at once at least; a power of two, or 0.</summary>
    public ulong MinimumClusterBytes { get; init; }

    /// <summary>After which time a copy counts as failed; zero for never.</summary>
    public TimeSpan Timeout { get; init; }

    /// <summary>The clock.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
