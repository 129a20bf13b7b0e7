using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.File;

/// <summary>Creates plain files (<c>blockdev-create</c> with driver <c>file</c>).</summary>
public static class FileImage
{
    /// <summary>How the texts of a failed reservation begin.</summary>
    internal const string NotReserved = "Could not preallocate new data";

    /// <summary>How the texts begin where the zeroes could not be written that take space.</summary>
    internal const string NotWritten = "Could not write zeros for preallocation";

    private const int ChunkBytes = 1 << 20;

    /// <summary>Creates the file, or empties one that exists, and gives it its size. Runs on a block thread.</summary>
    /// <remarks><c>extent-size-hint</c> is advice to XFS that we do not give.</remarks>
    /// <exception cref="QmpException">The system refuses, or somebody uses the file.</exception>
    public static Task CreateAsync(BlockdevCreateOptionsFile options) =>
        BlockThreads.RunAsync(() => Create(options));

    private static void Create(BlockdevCreateOptionsFile options)
    {
        PosixFile file;
        try
        {
            file = PosixFile.Open(options.Filename, FileOpenMode.Write | FileOpenMode.Create);
        }
        catch (BlockIoException e)
        {
            throw new QmpException($"Could not create '{options.Filename}': {e.Message}");
        }

        try
        {
            // The locks belong to the descriptor and end with it.
            new ImageLock(file, options.Filename).Prepare(BlockPermission.Write | BlockPermission.Resize, BlockPermission.Resize);
            Resize(file, 0);
            if (options.Nocow == true)
            {
                file.DisableCopyOnWrite();
            }

            Allocate(file, options);
        }
        finally
        {
            file.Close();
        }
    }

    private static void Allocate(PosixFile file, BlockdevCreateOptionsFile options)
    {
        long size = options.Size <= long.MaxValue ? (long)options.Size : throw ResizeRefused(Errno.EINVAL);
        switch (options.Preallocation ?? PreallocMode.Off)
        {
            case PreallocMode.Metadata:
                throw new QmpException("Unsupported preallocation mode: metadata");
            case PreallocMode.Falloc when size > 0:
                Reserve(file, size);
                break;
            case PreallocMode.Full:
                WriteOut(file, size);
                break;
            default:
                Resize(file, size);
                break;
        }
    }

    private static void Resize(PosixFile file, long size)
    {
        try
        {
            file.SetLength(size);
        }
        catch (BlockIoException e)
        {
            throw ResizeRefused(e.Errno);
        }
    }

    private static void Reserve(PosixFile file, long size)
    {
        try
        {
            if (!file.TryReserve(0, size))
            {
                throw new BlockIoException(Errno.EOPNOTSUPP);
            }
        }
        catch (BlockIoException e)
        {
            Resize(file, 0);
            throw new QmpException($"{NotReserved}: {e.Message}");
        }
    }

    private static void WriteOut(PosixFile file, long size)
    {
        IoBuffer zeroes = IoBufferPool.Rent(ChunkBytes);
        try
        {
            Span<byte> bytes = zeroes.GetSpan()[..ChunkBytes];
            bytes.Clear();
            for (long done = 0; done < size; done += ChunkBytes)
            {
                file.Write(bytes[..(int)Math.Min(ChunkBytes, size - done)], done);
            }

            file.SyncData();
        }
        catch (BlockIoException e)
        {
            // What was written is of no use and may be all the space there was.
            Resize(file, 0);
            throw new QmpException($"{NotWritten}: {e.Message}");
        }
        finally
        {
            zeroes.Return();
        }
    }

    private static QmpException ResizeRefused(int errno) => new($"Could not resize file: {Errno.Describe(errno)}");
}
