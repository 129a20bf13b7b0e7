using Monitor.Block.Io;

namespace Monitor.Storage.Exports;

/// <summary>Aligned memory that several requests share: it goes back to the pool with the last of them.</summary>
internal sealed class NbdBuffer
{
    private readonly IoBuffer _buffer;
    private int _references = 1;

    private NbdBuffer(IoBuffer buffer) => _buffer = buffer;

    /// <summary>Bytes in the buffer.</summary>
    public int Capacity => _buffer.Capacity;

    /// <summary>Whether somebody besides the asker uses it; may become false at any time.</summary>
    public bool IsShared => Volatile.Read(ref _references) > 1;

    /// <summary>Rents memory; the renter's reference is the first.</summary>
    /// <param name="bytes">1 to 64 MiB.</param>
    public static NbdBuffer Rent(int bytes) => new(IoBufferPool.Rent(bytes));

    /// <summary>Part of the memory.</summary>
    public Memory<byte> Slice(int start, int length) => _buffer.Memory.Slice(start, length);

    /// <summary>Part of the memory.</summary>
    public unsafe Span<byte> Span(int start, int length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)(start + length), (uint)_buffer.Capacity);
        return new Span<byte>(_buffer.Pointer + start, length);
    }

    /// <summary>Adds a reference.</summary>
    public void Retain() => Interlocked.Increment(ref _references);

    /// <summary>Takes a reference away.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _references) == 0)
        {
            _buffer.Return();
        }
    }
}
