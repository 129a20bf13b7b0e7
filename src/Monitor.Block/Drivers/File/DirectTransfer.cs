using Monitor.Block.Io;

namespace Monitor.Block.Drivers.File;

/// <summary>Transfers that bypass the page cache (<c>cache.direct</c>), of any position and length; blocks, so runs on block threads.</summary>
/// <remarks>
/// O_DIRECT wants position, length and memory in whole blocks. What is so already goes straight through; the rest goes through an
/// aligned buffer, a write that covers a block in part reading that block first. Such a write works alone on the file (the
/// exclusive side of <see cref="_blocks"/>), since two of them, or one and a plain write, could undo each other in a shared block.
/// Cost of the detour: one copy, and for a write two reads of one block at most.
/// </remarks>
#pragma warning disable CA1001 // a lock that nobody waits for holds nothing to dispose of
internal sealed unsafe class DirectTransfer
#pragma warning restore CA1001
{
    private const int ChunkBytes = 1 << 20;

    private readonly PosixFile _file;
    private readonly ReaderWriterLockSlim _blocks = new();

    /// <summary>Finds out how large a block is: what the file's medium accepts.</summary>
    /// <param name="file">Open with O_DIRECT.</param>
    public DirectTransfer(PosixFile file)
    {
        _file = file;
        Alignment = AcceptsBlocksOf(512) ? 512 : IoBuffer.Alignment;
    }

    /// <summary>Bytes of a block.</summary>
    public int Alignment { get; }

    /// <summary>Reads; what lies past the end of the file is filled with zeroes.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public void Read(long offset, Span<byte> buffer)
    {
        if (IsAligned(offset, buffer))
        {
            buffer[_file.Read(buffer, offset)..].Clear();
            return;
        }

        IoBuffer bounce = IoBufferPool.Rent(Math.Min(buffer.Length + (2 * Alignment), ChunkBytes));
        try
        {
            while (buffer.Length > 0)
            {
                int skipped = (int)(offset % Alignment);
                int length = Math.Min(buffer.Length, bounce.Capacity - Alignment - skipped);
                Span<byte> window = bounce.GetSpan()[..RoundUp(skipped + length)];
                window[_file.Read(window, offset - skipped)..].Clear();
                window.Slice(skipped, length).CopyTo(buffer);
                offset += length;
                buffer = buffer[length..];
            }
        }
        finally
        {
            bounce.Return();
        }
    }

    /// <summary>Writes; the file grows when the range ends past it, but never to a whole block.</summary>
    /// <exception cref="BlockIoException">The medium failed; some of the bytes may have been written.</exception>
    public void Write(long offset, ReadOnlySpan<byte> buffer)
    {
        if (IsAligned(offset, buffer))
        {
            _blocks.EnterReadLock();
            try
            {
                _file.Write(buffer, offset);
            }
            finally
            {
                _blocks.ExitReadLock();
            }

            return;
        }

        _blocks.EnterWriteLock();
        try
        {
            WriteThroughBuffer(offset, buffer);
        }
        finally
        {
            _blocks.ExitWriteLock();
        }
    }

    private void WriteThroughBuffer(long offset, ReadOnlySpan<byte> buffer)
    {
        FileStatus before = _file.Status();
        long end = offset + buffer.Length;
        IoBuffer bounce = IoBufferPool.Rent(Math.Min(buffer.Length + (2 * Alignment), ChunkBytes));
        try
        {
            while (buffer.Length > 0)
            {
                int skipped = (int)(offset % Alignment);
                int length = Math.Min(buffer.Length, bounce.Capacity - Alignment - skipped);
                Span<byte> window = bounce.GetSpan()[..RoundUp(skipped + length)];
                LoadBlock(window[..Alignment], offset - skipped);
                LoadBlock(window[^Alignment..], offset - skipped + window.Length - Alignment);
                buffer[..length].CopyTo(window[skipped..]);
                _file.Write(window, offset - skipped);
                offset += length;
                buffer = buffer[length..];
            }
        }
        finally
        {
            bounce.Return();
        }

        if (before.IsRegular && RoundUp(end) > Math.Max(before.SizeBytes, end))
        {
            _file.SetLength(Math.Max(before.SizeBytes, end));
        }
    }

    private void LoadBlock(Span<byte> block, long offset) => block[_file.Read(block, offset)..].Clear();

    private bool IsAligned(long offset, ReadOnlySpan<byte> buffer)
    {
        fixed (byte* start = buffer)
        {
            return ((offset | (long)buffer.Length | (long)start) & (Alignment - 1)) == 0;
        }
    }

    private int RoundUp(int bytes) => (bytes + Alignment - 1) & -Alignment;

    private long RoundUp(long bytes) => (bytes + Alignment - 1) & -(long)Alignment;

    private bool AcceptsBlocksOf(int bytes)
    {
        IoBuffer probe = IoBufferPool.Rent(bytes);
        try
        {
            _ = _file.Read(probe.GetSpan()[..bytes], 0);
            return true;
        }
        catch (BlockIoException e) when (e.Errno == Errno.EINVAL)
        {
            return false;
        }
        finally
        {
            probe.Return();
        }
    }
}
