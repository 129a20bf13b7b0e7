using Monitor.Block;

namespace Monitor.Jobs.Copy;

/// <summary>How a copy ended; the default value is success.</summary>
/// <param name="Errno">0, or the errno of the side that failed.</param>
/// <param name="IsRead">Whether it was the source that failed.</param>
internal readonly record struct CopyOutcome(int Errno, bool IsRead)
{
    public bool Succeeded => Errno == 0;

    public static CopyOutcome ReadFailed(BlockIoException e) => new(e.Errno, IsRead: true);

    public static CopyOutcome WriteFailed(BlockIoException e) => new(e.Errno, IsRead: false);
}
