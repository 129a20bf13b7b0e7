namespace Monitor.Block;

/// <summary>A position in bytes in the file that holds an image, as opposed to a guest position, which is a plain <see langword="long"/>.</summary>
/// <param name="Bytes">Bytes from the start of the file; not negative.</param>
public readonly record struct HostOffset(long Bytes)
{
    /// <summary>The position <paramref name="bytes"/> further on.</summary>
    public static HostOffset operator +(HostOffset offset, long bytes) => new(offset.Bytes + bytes);
}
