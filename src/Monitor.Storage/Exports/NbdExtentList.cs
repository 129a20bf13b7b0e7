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
    public bool TryAdd(long length, uint flags) => TryAdd([new NbdExtent((uint)length, flags)]);

    /// <summary>Adds runs.</summary>
    /// <param name="runs">One behind the other; at most 2^32 - 1 bytes in all.</param>
    /// <returns>False when there was no more room; those before were added.</returns>
    public bool TryAdd(ReadOnlySpan<NbdExtent> runs)
    {
        Span<byte> bytes = destination.Span;
        NbdExtent last = _last;
        (int count, int limit) = (Count, Limit);
        bool hasRoom = true;
        foreach (NbdExtent run in runs)
        {
            if (count > 0 && last.Flags == run.Flags)
            {
                last = new NbdExtent(last.Length + run.Length, run.Flags);
            }
            else if (count < limit)
            {
                last = run;
                count++;
            }
            else
            {
                hasRoom = false;
                break;
            }

            last.Write(bytes.Slice((count - 1) * NbdExtent.Size, NbdExtent.Size));
        }

        (_last, Count) = (last, count);
        return hasRoom;
    }
}
