namespace Monitor.Block.Copy;

/// <summary>How a copy ended; the default value is success.</summary>
/// <param name="Errno">0, or the errno of the side that failed.</param>
/// <param name="IsRead">Whether it was the source that failed.</param>
/// <param name="EndsInZeroes">It succeeded, and the last of it was zeroes.</param>
public readonly record struct CopyOutcome(int Errno, bool IsRead, bool EndsInZeroes = false)
{
    /// <summary>Zeroes were written, or are there already.</summary>
    public static CopyOutcome Zeroed => new(0, IsRead: false, EndsInZeroes: true);

    /// <summary>Whether all is where it should be.</summary>
    public bool Succeeded => Errno == 0;

    /// <summary>The source failed.</summary>
    public static CopyOutcome ReadFailed(BlockIoException e) => new(e.Errno, IsRead: true);

    /// <summary>The target failed.</summary>
    public static CopyOutcome WriteFailed(BlockIoException e) => new(e.Errno, IsRead: false);
}
