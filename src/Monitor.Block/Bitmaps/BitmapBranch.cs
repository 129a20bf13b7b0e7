using System.Runtime.CompilerServices;

namespace Monitor.Block.Bitmaps;

/// <summary>64 leaves (2^18 granules), each made on demand, and the word that says which of them are not zero.</summary>
internal sealed class BitmapBranch
{
    /// <summary>Bit i: leaf i may hold a non-zero word.</summary>
    internal ulong Summary;

    /// <summary>The leaves; null until one of their granules is first set.</summary>
    internal LeafArray Leaves;

    /// <summary>64 references inside the branch itself, so that a branch is one object.</summary>
    [InlineArray(64)]
    internal struct LeafArray
    {
        private BitmapLeaf? _first;
    }
}
