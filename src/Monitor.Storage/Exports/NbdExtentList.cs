using Monitor.Nbd;

namespace Monitor.Storage.Exports;

/// <summary>Extents being written into a reply; neighbours that are alike become one.</summary>
internal sealed class NbdExtentList(Memory<byte> destination)
{
    private NbdExtent _last;

    /// <summary>Extents for which there is room.</summary>
    public int Limit { get; } = destination.Length / NbdExtent.Size;

    /// <summary>Extents so far.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes of the reply so far.</summary>
    public int SizeBytes => Count * NbdExtent.Size;

    /// <summary>Adds a run.</summary>
    /// <param name="length">Bytes, 1 to 2^32 - 1 in all.</param>
    /// <param name="flags">What the context says of it.</param>
    /// <returns>False when it is unlike the last one and there is no more room.</returns>
    public bool TryAdd(long length, uint flags)
    {
        if (Count > 0 && _last.Flags == flags)
        {
            _last = new NbdExtent(_last.Length + (uint)length, flags);
        }
        else if (Count < Limit)
        {
            _last = new NbdExtent((uint)length, flags);
            Count++;
        }
        else
        {
            return false;
        }

        _last.Write(destination.Span[((Count - 1) * NbdExtent.Size)..]);
        return true;
    }
}
