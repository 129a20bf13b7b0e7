namespace Monitor.Block;

/// <summary>The medium failed: one I/O request could not be done. Carries the errno that the guest, job or NBD client is told.</summary>
public sealed class BlockIoException : IOException
{
    /// <summary>Makes a failure with the system's text for <paramref name="errno"/>.</summary>
    /// <param name="errno">A positive Linux errno, such as <see cref="Errno.EIO"/>.</param>
    public BlockIoException(int errno)
        : this(errno, Block.Errno.Describe(errno))
    {
    }

    /// <summary>Makes a failure with a text of its own for the log.</summary>
    /// <param name="errno">A positive Linux errno.</param>
    /// <param name="message">What failed.</param>
    public BlockIoException(int errno, string message)
        : base(message) => Errno = errno;

    /// <summary>The positive Linux errno.</summary>
    public int Errno { get; }
}
