using System.Buffers.Binary;
using Monitor.Block.Io;
using Monitor.Nbd;

namespace Monitor.Block.Drivers.Nbd;

/// <summary>Receives answers and gives them to their requests; what a server sends is checked before it is believed.</summary>
/// <remarks>
/// Many short answers come in one call; the bytes of a long read go straight to where they belong. A server can make a read fail, but not
/// show memory that it did not fill: chunks that leave gaps find the gaps zeroed, and the bytes of all chunks must add up.
/// </remarks>
internal sealed class NbdReplies(NbdConnection connection, NbdSocket socket, NbdOutgoing outgoing, NbdClientExport export) : IDisposable
{
    private const int BufferBytes = 128 << 10;
    private const int ErrorHeadBytes = 6;
    private const int ErrorBit = 0x8000;

    private readonly IoBuffer _buffer = IoBufferPool.Rent(BufferBytes);
    private int _start;
    private int _end;
    private bool _holds;

    /// <summary>Receives until the connection is over.</summary>
    /// <exception cref="NbdProtocolException">The server sent what the protocol does not allow.</exception>
    public void Process()
    {
        while (Need(sizeof(uint)))
        {
            uint magic = BinaryPrimitives.ReadUInt32BigEndian(Buffered);
            bool goesOn = magic switch
            {
                NbdProtocol.SimpleReplyMagic => ReadSimple(),
                NbdProtocol.ChunkMagic when export.StructuredReplies => ReadChunk(),
                _ => throw new NbdProtocolException($"its answer begins with {magic:x8}"),
            };
            if (!goesOn)
            {
                break;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Release();
        _buffer.Return();
    }

    private ReadOnlySpan<byte> Buffered => _buffer.GetSpan()[_start.._end];

    private bool ReadSimple()
    {
        if (!Need(NbdSimpleReply.Size))
        {
            return false;
        }

        NbdSimpleReply.TryRead(Take(NbdSimpleReply.Size), out NbdSimpleReply reply);
        NbdRequest request = connection.Find(reply.Cookie);
        if (reply.Error == NbdError.None && request.Header.Command == NbdCommand.Read)
        {
            if (export.StructuredReplies)
            {
                throw new NbdProtocolException("it answered a read without chunks");
            }

            if (!Receive(request.Destination))
            {
                return false;
            }
        }
        else if (reply.Error == NbdError.None && request.Header.Command == NbdCommand.BlockStatus)
        {
            throw new NbdProtocolException("it answered a block status without extents");
        }

        request.Answer(NbdErrorMapping.ToErrno(reply.Error));
        return true;
    }

    private bool ReadChunk()
    {
        if (!Need(NbdChunkHeader.Size))
        {
            return false;
        }

        NbdChunkHeader.TryRead(Take(NbdChunkHeader.Size), out NbdChunkHeader header);
        NbdRequest request = connection.Find(header.Cookie);
        bool goesOn = header.Type switch
        {
            NbdChunkType.None => ReadNothing(header),
            NbdChunkType.OffsetData => ReadData(header, request),
            NbdChunkType.OffsetHole => ReadHole(header, request),
            NbdChunkType.BlockStatus => ReadExtents(header, request),
            _ when ((int)header.Type & ErrorBit) != 0 => ReadError(header, request),
            _ => throw new NbdProtocolException($"it sent a chunk of type {(ushort)header.Type}"),
        };
        if (goesOn && (header.Flags & NbdChunkFlags.Done) != 0)
        {
            Finish(request);
        }

        return goesOn;
    }

    private static bool ReadNothing(in NbdChunkHeader header) =>
        header.Length == 0 && (header.Flags & NbdChunkFlags.Done) != 0
            ? true
            : throw new NbdProtocolException("it sent an empty chunk that is not the last");

    private bool ReadData(in NbdChunkHeader header, NbdRequest request)
    {
        if (header.Length <= sizeof(ulong) || header.Length - sizeof(ulong) > request.Header.Length)
        {
            throw new NbdProtocolException($"it sent a data chunk of {header.Length} bytes");
        }

        if (!Need(sizeof(ulong)))
        {
            return false;
        }

        var chunk = NbdDataChunk.Read(header, Take(sizeof(ulong)));
        return Receive(Part(request, chunk.Offset, chunk.Length));
    }

    private bool ReadHole(in NbdChunkHeader header, NbdRequest request)
    {
        const int DataBytes = NbdHoleChunk.Size - NbdChunkHeader.Size;
        if (header.Length != DataBytes)
        {
            throw new NbdProtocolException($"it sent a hole chunk of {header.Length} bytes");
        }

        if (!Need(DataBytes))
        {
            return false;
        }

        var chunk = NbdHoleChunk.Read(header, Take(DataBytes));
        Part(request, chunk.Offset, chunk.Length).Span.Clear();
        return true;
    }

    /// <summary>The memory that a chunk of a read fills.</summary>
    private static Memory<byte> Part(NbdRequest request, ulong offset, uint length)
    {
        NbdRequestHeader asked = request.Header;
        ulong position = offset - asked.Offset;
        if (asked.Command != NbdCommand.Read || offset < asked.Offset || length == 0 || position > asked.Length || length > asked.Length - position)
        {
            throw new NbdProtocolException($"it sent {length} bytes at {offset} that were not asked for");
        }

        if ((uint)request.Received + length > asked.Length)
        {
            throw new NbdProtocolException("it sent the same bytes twice");
        }

        if (position != (uint)request.Received && !request.IsScattered)
        {
            request.Destination.Span[request.Received..].Clear();
            request.IsScattered = true;
        }

        request.Received += (int)length;
        return request.Destination.Slice((int)position, (int)length);
    }

    private bool ReadExtents(in NbdChunkHeader header, NbdRequest request)
    {
        uint list = header.Length - sizeof(uint);
        if (request.Header.Command != NbdCommand.BlockStatus || header.Length < sizeof(uint) + NbdExtent.Size
            || list % NbdExtent.Size != 0 || header.Length > BufferBytes)
        {
            throw new NbdProtocolException($"it sent a block status chunk of {header.Length} bytes");
        }

        if (!Need((int)header.Length))
        {
            return false;
        }

        ReadOnlySpan<byte> data = Take((int)header.Length);
        uint context = BinaryPrimitives.ReadUInt32BigEndian(data);
        var first = NbdExtent.Read(data[sizeof(uint)..]);
        if (first.Length == 0 || request.Extent.Length != 0 || export.MetaContexts.All(granted => granted.Id != context))
        {
            throw new NbdProtocolException($"it sent an extent of {first.Length} bytes for context {context}");
        }

        request.Extent = first with { Length = Math.Min(first.Length, request.Header.Length) };
        return true;
    }

    private bool ReadError(in NbdChunkHeader header, NbdRequest request)
    {
        if (header.Length is < ErrorHeadBytes or > ErrorHeadBytes + NbdProtocol.MaxStringBytes + sizeof(ulong))
        {
            throw new NbdProtocolException($"it sent an error chunk of {header.Length} bytes");
        }

        if (!Need((int)header.Length))
        {
            return false;
        }

        if (!NbdErrorChunk.TryRead(header, Take((int)header.Length), out NbdErrorChunk chunk) || chunk.Error == NbdError.None)
        {
            throw new NbdProtocolException("it sent an error chunk without an error");
        }

        if (request.Errno == 0)
        {
            request.Errno = NbdErrorMapping.ToErrno(chunk.Error);
        }

        return true;
    }

    private static void Finish(NbdRequest request)
    {
        bool isWhole = request.Header.Command switch
        {
            NbdCommand.Read => (uint)request.Received == request.Header.Length,
            NbdCommand.BlockStatus => request.Extent.Length > 0,
            _ => true,
        };
        if (request.Errno == 0 && !isWhole)
        {
            throw new NbdProtocolException($"it ended a {request.Header.Command} after {request.Received} bytes");
        }

        request.Answer(request.Errno);
    }

    private ReadOnlySpan<byte> Take(int bytes)
    {
        Span<byte> taken = _buffer.GetSpan().Slice(_start, bytes);
        _start += bytes;
        return taken;
    }

    /// <summary>Makes sure that so many bytes are in the buffer.</summary>
    /// <returns>Whether the connection lasted that long.</returns>
    private bool Need(int bytes)
    {
        if (_start == _end)
        {
            (_start, _end) = (0, 0);
        }
        else if (_start + bytes > BufferBytes)
        {
            Buffered.CopyTo(_buffer.GetSpan());
            (_start, _end) = (0, _end - _start);
        }

        while (_end - _start < bytes)
        {
            int received = ReceiveSome(_buffer.GetSpan()[_end..BufferBytes]);
            if (received == 0)
            {
                return false;
            }

            _end += received;
        }

        return true;
    }

    /// <summary>Fills a caller's memory.</summary>
    private bool Receive(Memory<byte> destination)
    {
        Span<byte> rest = destination.Span;
        int buffered = Math.Min(rest.Length, _end - _start);
        Take(buffered).CopyTo(rest);
        rest = rest[buffered..];
        while (!rest.IsEmpty)
        {
            int received = ReceiveSome(rest);
            if (received == 0)
            {
                return false;
            }

            rest = rest[received..];
        }

        return true;
    }

    /// <summary>Waits for bytes; before that, what the answers handed out so far have asked for goes out.</summary>
    private int ReceiveSome(Span<byte> destination)
    {
        Release();
        int received = socket.Receive(destination);
        _holds = outgoing.Hold();
        return received;
    }

    private void Release()
    {
        if (_holds)
        {
            _holds = false;
            outgoing.Send();
        }
    }
}
