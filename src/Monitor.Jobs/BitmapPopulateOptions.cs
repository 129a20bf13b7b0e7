using Monitor.Block;
using Monitor.Block.Bitmaps;

namespace Monitor.Jobs;

/// <summary>What a job that populates a bitmap is told; <see cref="BlockJobSettings.OnSourceError"/> is its <c>on-error</c>.</summary>
public sealed record BitmapPopulateOptions : BlockJobSettings
{
    /// <summary>The node whose layer is looked at.</summary>
    public required BlockNode Node { get; init; }

    /// <summary>The node's bitmap that gets the bits.</summary>
    public required DirtyBitmap Bitmap { get; init; }
}
