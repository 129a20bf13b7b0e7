using Monitor.Block.Drivers.File;

namespace Monitor.Block;

/// <summary>Bytes of a file of the host: what <c>copy_file_range</c> copies from.</summary>
/// <param name="File">The node that has the file open.</param>
/// <param name="Offset">Where they begin in it, in bytes.</param>
/// <param name="Length">How many.</param>
public readonly record struct FileRange(FileNode File, long Offset, long Length);
