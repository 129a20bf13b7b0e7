using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Monitor.Block;
using Monitor.Nbd;

namespace Monitor.Storage.Exports;

/// <summary>Does the requests of several steps and builds their replies in memory of their own.</summary>
/// <remarks>
/// A long read lies in its buffer as on the disk, from <see cref="HeadroomBytes"/> on, so that it is aligned for direct I/O. The
/// header of a data run goes into the space before it: the headroom, or the zero run that precedes it, whose hole chunk
/// goes there too. So each data run with what comes before it is one piece to send, and nothing is copied.
/// </remarks>
internal sealed class NbdReplyBuilder(BlockBackend backend, NbdNegotiated negotiated)
{
    /// <summary>Room before a read's bytes; keeps them aligned.</summary>
    private const int HeadroomBytes = 4096;

    /// <summary>A zero run becomes a hole when it is at least this long; it must have room for two headers.</summary>
    private const int MinHoleBytes = 512;

    /// <summary>Extents of one block status reply, all contexts together (512 KiB); each context has at least one.</summary>
    private const int ExtentLimit = 64 << 10;

    /// <summary>A cache request reads in pieces of this many bytes.</summary>
    private const int CachePieceBytes = 1 << 20;

    /// <summary>Pieces of one reply at most; the rest of the read goes into the last.</summary>
    private const int PieceLimit = 256;

    /// <summary>Whether block status was negotiated.</summary>
    public bool HasContexts => negotiated.Contexts.Count > 0;

    /// <summary>Bytes of memory that a request needs.</summary>
    public int BytesFor(in NbdRequestHeader header) => header.Command switch
    {
        NbdCommand.Read => HeadroomBytes + (int)header.Length,
        NbdCommand.BlockStatus => negotiated.Contexts.Count * StatusSize(header),
        NbdCommand.Cache => (int)Math.Min(header.Length, CachePieceBytes),
        _ => 0,
    };

    /// <summary>Does the request; the reply's pieces are added to it, none for a plain success.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public ValueTask BuildAsync(NbdPendingRequest request) => request.Header.Command switch
    {
        NbdCommand.Read => ReadAsync(request),
        NbdCommand.BlockStatus => BlockStatusAsync(request),
        NbdCommand.Cache => CacheAsync(request),
        _ => TrimDurablyAsync(request),
    };

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask ReadAsync(NbdPendingRequest request)
    {
        if ((request.Header.Flags & NbdCommandFlags.Fua) != 0)
        {
            await backend.FlushAsync().ConfigureAwait(false);
        }

        NbdBuffer buffer = request.RentBuffer(BytesFor(request.Header));
        if (negotiated.StructuredReplies && (request.Header.Flags & NbdCommandFlags.DontFragment) == 0)
        {
            await ReadSparseAsync(request, buffer).ConfigureAwait(false);
            return;
        }

        int length = (int)request.Header.Length;
        await backend.ReadAsync((long)request.Header.Offset, buffer.Slice(HeadroomBytes, length)).ConfigureAwait(false);
        AddWhole(request, buffer, length);
    }

    private void AddWhole(NbdPendingRequest request, NbdBuffer buffer, int length)
    {
        if (negotiated.StructuredReplies)
        {
            AddData(request, buffer, 0, 0, length);
            return;
        }

        const int Start = HeadroomBytes - NbdSimpleReply.Size;
        new NbdSimpleReply(NbdError.None, request.Header.Cookie).Write(buffer.Span(Start, NbdSimpleReply.Size));
        request.AddPart(buffer.Slice(Start, NbdSimpleReply.Size + length));
    }

    /// <summary>Walks the map once; each piece is a zero run, if the read does not begin with data, and the data behind it.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask ReadSparseAsync(NbdPendingRequest request, NbdBuffer buffer)
    {
        int length = (int)request.Header.Length;
        (int position, int hole, int data) = (0, 0, 0);
        for (int pieces = 1; position + hole + data < length;)
        {
            int next = position + hole + data;
            BlockStatus run = await backend.MapAsync((long)request.Header.Offset + next, length - next).ConfigureAwait(false);
            bool beginsHole = run.IsZero && run.Length >= MinHoleBytes && pieces < PieceLimit;
            if (beginsHole && data > 0)
            {
                await ReadPieceAsync(request, buffer, position, hole, data).ConfigureAwait(false);
                (position, hole, data) = (next, 0, 0);
                pieces++;
            }

            if (data == 0 && (beginsHole || (run.IsZero && hole > 0)))
            {
                hole += (int)run.Length;
            }
            else
            {
                data += (int)run.Length;
            }
        }

        await ReadPieceAsync(request, buffer, position, hole, data).ConfigureAwait(false);
    }

    private async ValueTask ReadPieceAsync(NbdPendingRequest request, NbdBuffer buffer, int position, int hole, int data)
    {
        if (data > 0)
        {
            Memory<byte> destination = buffer.Slice(HeadroomBytes + position + hole, data);
            await backend.ReadAsync((long)request.Header.Offset + position + hole, destination).ConfigureAwait(false);
        }

        AddData(request, buffer, position, hole, data);
    }

    /// <summary>Adds a piece: a hole chunk if there is a hole, and a data chunk if there are data, which lie in the buffer.</summary>
    private static void AddData(NbdPendingRequest request, NbdBuffer buffer, int position, int hole, int data)
    {
        NbdRequestHeader header = request.Header;
        NbdChunkFlags done = position + hole + data == (int)header.Length ? NbdChunkFlags.Done : NbdChunkFlags.None;
        int dataStart = HeadroomBytes + position + hole;
        int start = dataStart;
        if (data > 0)
        {
            start -= NbdDataChunk.Size;
            new NbdDataChunk(done, header.Cookie, header.Offset + (uint)(position + hole), (uint)data).Write(buffer.Span(start, NbdDataChunk.Size));
        }

        if (hole > 0)
        {
            start -= NbdHoleChunk.Size;
            NbdChunkFlags flags = data > 0 ? NbdChunkFlags.None : done;
            new NbdHoleChunk(flags, header.Cookie, header.Offset + (uint)position, (uint)hole).Write(buffer.Span(start, NbdHoleChunk.Size));
        }

        request.AddPart(buffer.Slice(start, dataStart + data - start));
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask BlockStatusAsync(NbdPendingRequest request)
    {
        NbdRequestHeader header = request.Header;
        int size = StatusSize(header);
        NbdBuffer buffer = request.RentBuffer(BytesFor(header));
        for (int i = 0; i < negotiated.Contexts.Count; i++)
        {
            NbdContext context = negotiated.Contexts[i];
            Memory<byte> reply = buffer.Slice(i * size, size);
            const int Head = NbdChunkHeader.Size + 4;
            var extents = new NbdExtentList(reply[Head..]);
            await context.DescribeAsync((long)header.Offset, header.Length, extents).ConfigureAwait(false);
            NbdChunkFlags flags = i == negotiated.Contexts.Count - 1 ? NbdChunkFlags.Done : NbdChunkFlags.None;
            new NbdChunkHeader(flags, NbdChunkType.BlockStatus, header.Cookie, (uint)(4 + extents.SizeBytes)).Write(reply.Span);
            BinaryPrimitives.WriteUInt32BigEndian(reply.Span[NbdChunkHeader.Size..], context.Id);
            request.AddPart(reply[..(Head + extents.SizeBytes)]);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask CacheAsync(NbdPendingRequest request)
    {
        NbdBuffer buffer = request.RentBuffer(BytesFor(request.Header));
        for (uint position = 0; position < request.Header.Length; position += CachePieceBytes)
        {
            int length = (int)Math.Min(CachePieceBytes, request.Header.Length - position);
            await backend.ReadAsync((long)request.Header.Offset + position, buffer.Slice(0, length)).ConfigureAwait(false);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask TrimDurablyAsync(NbdPendingRequest request)
    {
        await backend.DiscardAsync((long)request.Header.Offset, request.Header.Length).ConfigureAwait(false);
        await backend.FlushAsync().ConfigureAwait(false);
    }

    private int StatusSize(in NbdRequestHeader header)
    {
        int extents = (header.Flags & NbdCommandFlags.ReqOne) != 0 ? 1 : Math.Max(1, ExtentLimit / negotiated.Contexts.Count);
        return NbdChunkHeader.Size + 4 + (extents * NbdExtent.Size);
    }
}
