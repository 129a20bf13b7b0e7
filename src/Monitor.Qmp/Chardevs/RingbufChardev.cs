namespace Monitor.Qmp;

/// <summary>A device that keeps the last bytes written to it, to be read by a command.</summary>
public sealed class RingbufChardev : Chardev
{
    private const int MaximumBytes = 1 << 30;

    private readonly byte[] _bytes;

    private uint _written;

    private uint _taken;

    /// <summary>Makes an empty one.</summary>
    /// <param name="id">Its name.</param>
    /// <param name="log">Gets a copy of what is written to it, if any.</param>
    /// <param name="kind"><c>ringbuf</c>, or <c>memory</c>, its older name.</param>
    /// <param name="size">Bytes it keeps: a power of two, up to 1 GiB.</param>
    /// <exception cref="QmpException">The size is wrong.</exception>
    internal RingbufChardev(string id, FileStream? log, string kind, long size)
        : base(id, log)
    {
        if ((size & (size - 1)) != 0 || size is < 0 or > MaximumBytes)
        {
            throw new QmpException("size of ringbuf chardev must be power of two");
        }

        Kind = kind;
        _bytes = new byte[size];
    }

    /// <inheritdoc/>
    public override string Kind { get; }

    /// <inheritdoc/>
    public override string FileName => Kind;

    /// <summary>Puts bytes in, over the oldest.</summary>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        lock (_bytes)
        {
            foreach (byte b in bytes[Math.Max(bytes.Length - _bytes.Length, 0)..])
            {
                _bytes[_written++ & (uint)(_bytes.Length - 1)] = b;
            }

            if (_written - _taken > (uint)_bytes.Length)
            {
                _taken = _written - (uint)_bytes.Length;
            }
        }
    }

    /// <summary>Takes the oldest bytes out.</summary>
    /// <param name="maximumBytes">How many at most.</param>
    public byte[] Read(long maximumBytes)
    {
        lock (_bytes)
        {
            byte[] taken = new byte[Math.Min(maximumBytes, _written - _taken)];
            for (int i = 0; i < taken.Length; i++)
            {
                taken[i] = _bytes[_taken++ & (uint)(_bytes.Length - 1)];
            }

            return taken;
        }
    }

    /// <inheritdoc/>
    private protected override void Start(Action<QmpTransport> connected) => connected(new RingbufTransport(this));

    /// <inheritdoc/>
    private protected override void Close()
    {
    }
}
