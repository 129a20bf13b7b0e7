using System.Runtime.CompilerServices;

namespace Monitor.Block.Bitmaps;

/// <summary>4,096 granules: 64 words and the word that says which of them are not zero.</summary>
internal sealed class BitmapLeaf
{
    /// <summary>Bit i: word i may be non-zero.</summary>
    internal ulong Summary;

    /// <summary>One bit per granule, least significant first.</summary>
    internal WordArray Words;

    /// <summary>64 words inside the leaf itself, so that a leaf is one object.</summary>
    [InlineArray(64)]
    internal struct WordArray
    {
        private ulong _first;
    }
}
