using System.Buffers;
using System.Runtime.InteropServices;

namespace Monitor.Block.Io;

/// <summary>Native memory aligned for O_DIRECT, rented from <see cref="IoBufferPool"/>; dispose to give it back.</summary>
/// <remarks>Native because fresh large arrays cost a gen-2 collection each and pinning them fragments the heap.</remarks>
public sealed unsafe class IoBuffer : MemoryManager<byte>
{
    /// <summary>Alignment in bytes of every buffer.</summary>
    public const int Alignment = 4096;

    private byte* _pointer;

    internal IoBuffer(int sizeClass, int capacity)
    {
        SizeClass = sizeClass;
        Capacity = capacity;
        _pointer = (byte*)NativeMemory.AlignedAlloc((nuint)capacity, Alignment);
    }

    /// <summary>Bytes in the buffer; at least what was asked for.</summary>
    public int Capacity { get; }

    internal int SizeClass { get; }

    /// <summary>The first byte; stays where it is until the buffer is given back.</summary>
    public byte* Pointer => _pointer;

    /// <inheritdoc/>
    public override Span<byte> GetSpan() => new(_pointer, Capacity);

    /// <inheritdoc/>
    public override MemoryHandle Pin(int elementIndex = 0) => new(_pointer + elementIndex);

    /// <inheritdoc/>
    public override void Unpin()
    {
    }

    /// <summary>Gives the buffer back to the pool; it must not be used afterwards.</summary>
    public void Return() => IoBufferPool.Return(this);

    internal void Free()
    {
        NativeMemory.AlignedFree(_pointer);
        _pointer = null;
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => Return();
}
