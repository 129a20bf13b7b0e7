namespace Monitor.Block.Io;

/// <summary>What <see cref="PosixFile.Status"/> tells of an open file.</summary>
/// <param name="Identity">The same for two descriptors exactly when they are the same file.</param>
/// <param name="SizeBytes">Length in bytes.</param>
/// <param name="AllocatedBytes">Bytes of the medium that the file takes up.</param>
/// <param name="IsRegular">A plain file, not a directory, device or pipe.</param>
/// <param name="IsDevice">A block or character device; <paramref name="SizeBytes"/> says nothing of it (<see cref="PosixFile.SeekEnd"/>).</param>
public readonly record struct FileStatus(FileIdentity Identity, long SizeBytes, long AllocatedBytes, bool IsRegular, bool IsDevice);

/// <summary>Which file it is, whatever its name: device and inode number.</summary>
/// <param name="Device">Major and minor number of the filesystem's device.</param>
/// <param name="Inode">Number of the file in it.</param>
public readonly record struct FileIdentity(ulong Device, ulong Inode);
