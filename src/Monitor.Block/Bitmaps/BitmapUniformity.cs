namespace Monitor.Block.Bitmaps;

/// <summary>What a stretch of bitmap data holds.</summary>
public enum BitmapUniformity
{
    /// <summary>Zeros and ones.</summary>
    Mixed,

    /// <summary>Zeros only.</summary>
    Zeros,

    /// <summary>Ones only; a stretch that reaches past the last granule never counts as this.</summary>
    Ones,
}
