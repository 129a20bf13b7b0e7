using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Monitor.Block.Bitmaps;

/// <summary>4,096 granules: 64 words and the word that says which of them are not zero.</summary>
/// <remarks>
/// A leaf of a bitmap may be shared: several bitmaps with the same bits at the same place then hold the same leaf, which nobody changes any
/// more; who wants to change his bits takes a copy first. Only the owner of a leaf that is not shared yet, under his lock, makes it shared.
/// The leaves of a log are never shared and count nothing. Bytes are the words' memory: little-endian machines only. The loops over words
/// are compiled at their best at once: precompiled they would be generic stand-ins, and a store of 65 bitmaps is over before tiering.
/// </remarks>
internal sealed class BitmapLeaf
{
    /// <summary>Granules in a leaf.</summary>
    internal const int Granules = 4096;

    /// <summary>Bytes of bitmap data in a leaf; a qcow2 cluster is one or several of them.</summary>
    internal const int DataBytes = Granules / 8;

    private const int WordCount = 64;

    /// <summary>Bit i: word i may be non-zero; exact in a bitmap.</summary>
    internal ulong Summary;

    /// <summary>One bit per granule, least significant first.</summary>
    internal WordArray Words;

    /// <summary>The bits that are set.</summary>
    internal int Count;

    /// <summary>The one leaf of all places where every granule is dirty.</summary>
    internal static BitmapLeaf Full { get; } = MakeFull();

    /// <summary>Whether it belongs to more than one bitmap, or may do so: it does not change any more.</summary>
    internal bool IsShared { get; private set; }

    /// <summary>The words as bitmap data, least significant bit first.</summary>
    internal ReadOnlySpan<byte> Data => MemoryMarshal.AsBytes((ReadOnlySpan<ulong>)Words);

    /// <summary>Makes a leaf from bitmap data; what was made before for the same place is shared where it is the same.</summary>
    /// <param name="data">At most <see cref="DataBytes"/> bytes; the rest is zero.</param>
    /// <param name="granules">How many of the bits count, the others are ignored.</param>
    /// <param name="like">A leaf that may hold the same, of a bitmap nobody else uses meanwhile; or null.</param>
    /// <returns>Null if no bit is set.</returns>
    internal static BitmapLeaf? FromData(ReadOnlySpan<byte> data, int granules, BitmapLeaf? like)
    {
        int first = data.IndexOfAnyExcept((byte)0);
        if (first < 0)
            return null;
        if (like is not null && like.Data[first] == data[first] && like.Data.SequenceEqual(data))
            return like.Share();
        var leaf = new BitmapLeaf();
        Span<ulong> words = leaf.Words;
        data.CopyTo(MemoryMarshal.AsBytes(words));
        if (granules < Granules)
        {
            words[((granules >> 6) + 1)..].Clear();
            words[granules >> 6] &= (1UL << (granules & 63)) - 1;
        }

        leaf.Measure();
        return leaf.Count switch { 0 => null, Granules => Full, _ => leaf };
    }

    /// <summary>What holds the bits of two leaves; either of them where that will do, so that bitmaps of one history share their leaves.</summary>
    /// <param name="mine">Changed in place if it is not shared; may be null.</param>
    /// <param name="theirs">Shared from now on if it is the answer.</param>
    /// <param name="added">How many bits the answer has more than <paramref name="mine"/> had.</param>
    internal static BitmapLeaf Union(BitmapLeaf? mine, BitmapLeaf theirs, out int added)
    {
        int before = mine?.Count ?? 0;
        if (mine is null || mine.IsWithin(theirs))
        {
            added = theirs.Count - before;
            return added == 0 && mine is not null ? mine : theirs.Share();
        }

        added = 0;
        if (theirs.IsWithin(mine))
            return mine;
        BitmapLeaf union = mine.IsShared ? mine.Copy() : mine;
        union.Or(theirs);
        added = union.Count - before;
        return union.Count == Granules ? Full : union;
    }

    /// <summary>Makes it shared.</summary>
    internal BitmapLeaf Share()
    {
        if (!IsShared)
            IsShared = true;
        return this;
    }

    /// <summary>An equal leaf that is not shared.</summary>
    internal BitmapLeaf Copy() => new() { Summary = Summary, Words = Words, Count = Count };

    private static BitmapLeaf MakeFull()
    {
        var leaf = new BitmapLeaf { Summary = ulong.MaxValue, Count = Granules, IsShared = true };
        ((Span<ulong>)leaf.Words).Fill(ulong.MaxValue);
        return leaf;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Measure()
    {
        ReadOnlySpan<ulong> words = Words;
        ReadOnlySpan<Vector256<ulong>> vectors = MemoryMarshal.Cast<ulong, Vector256<ulong>>(words);
        ulong zeroes = 0;
        for (int i = 0; i < vectors.Length; i++)
            zeroes |= (ulong)Vector256.Equals(vectors[i], Vector256<ulong>.Zero).ExtractMostSignificantBits() << (i * Vector256<ulong>.Count);
        ulong summary = ~zeroes;
        int count = 0;
        for (ulong rest = summary; rest != 0; rest &= rest - 1)
            count += BitOperations.PopCount(words[BitOperations.TrailingZeroCount(rest)]);
        Summary = summary;
        Count = count;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool IsWithin(BitmapLeaf other)
    {
        if (ReferenceEquals(this, other) || other.Count == Granules)
            return true;
        if (Count > other.Count || (Summary & ~other.Summary) != 0)
            return false;
        ReadOnlySpan<Vector128<ulong>> mine = MemoryMarshal.Cast<ulong, Vector128<ulong>>((ReadOnlySpan<ulong>)Words);
        ReadOnlySpan<Vector128<ulong>> theirs = MemoryMarshal.Cast<ulong, Vector128<ulong>>((ReadOnlySpan<ulong>)other.Words);
        for (int i = 0; i < mine.Length; i++)
        {
            if (Vector128.AndNot(mine[i], theirs[i]) != Vector128<ulong>.Zero)
                return false;
        }

        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Or(BitmapLeaf other)
    {
        Span<ulong> mine = Words;
        ReadOnlySpan<ulong> theirs = other.Words;
        int count = 0;
        for (int i = 0; i < mine.Length && i < theirs.Length; i++)
        {
            mine[i] |= theirs[i];
            count += BitOperations.PopCount(mine[i]);
        }

        Count = count;
        Summary |= other.Summary;
    }

    /// <summary>64 words inside the leaf itself, so that a leaf is one object.</summary>
    [InlineArray(WordCount)]
    internal struct WordArray
    {
        private ulong _first;
    }
}
