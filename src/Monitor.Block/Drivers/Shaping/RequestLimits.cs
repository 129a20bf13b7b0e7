namespace Monitor.Block.Drivers.Shaping;

/// <summary>What a medium takes in one request, in bytes.</summary>
/// <param name="Alignment">Every position and length is a multiple of it; a power of two, 1 for any.</param>
/// <param name="MaxTransfer">The longest read or write; a multiple of <paramref name="Alignment"/>.</param>
/// <param name="ZeroAlignment">Writes of zeroes are whole units of this; what is less is written as bytes.</param>
/// <param name="MaxZero">The longest write of zeroes.</param>
/// <param name="DiscardAlignment">Discards are whole units of this; what is less is kept.</param>
/// <param name="MaxDiscard">The longest discard.</param>
internal readonly record struct RequestLimits(
    int Alignment, int MaxTransfer, int ZeroAlignment, int MaxZero, int DiscardAlignment, int MaxDiscard)
{
    /// <summary>Limits of a medium whose only unit is its alignment.</summary>
    public static RequestLimits Uniform(int alignment, int maxTransfer)
    {
        int most = int.MaxValue & -alignment;
        return new RequestLimits(alignment, Math.Min(maxTransfer & -alignment, most), alignment, most, alignment, most);
    }
}
