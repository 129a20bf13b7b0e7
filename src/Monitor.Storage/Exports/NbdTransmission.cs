using Monitor.Block;
using Monitor.Nbd;

namespace Monitor.Storage.Exports;

/// <summary>The transmission phase of one connection, on that connection's thread.</summary>
/// <remarks>
/// <para>The idea: receive what is there, start every request in it, send in one call the replies of those that were done at
/// once, receive again. What is not done at once parks in a <see cref="NbdPendingRequest"/> and replies by itself.</para>
/// <para>Example: 16 reads of 4 KiB arrive with one recv, 16 preads put their bytes behind 16 reserved headers, one send answers
/// all: 18 system calls for 16 requests, no hop to another thread, no allocation.</para>
/// </remarks>
internal sealed class NbdTransmission : IDisposable
{
    /// <summary>Reads up to this many bytes go into the batch; longer ones get memory of their own.</summary>
    private const int BatchedReadBytes = 64 << 10;

    private readonly NbdExport _export;
    private readonly BlockBackend _backend;
    private readonly bool _structured;
    private readonly NbdRequestReader _reader;
    private readonly NbdPendingRequests _pending;
    private readonly NbdReplyBatch _batch;
    private readonly NbdReplyBuilder _builder;

    /// <summary>Makes it for a client that ended its negotiation.</summary>
    public NbdTransmission(NbdSocket socket, NbdNegotiated negotiated)
    {
        _export = negotiated.Export;
        _backend = _export.Backend;
        _structured = negotiated.StructuredReplies;
        _reader = new NbdRequestReader(socket);
        _pending = new NbdPendingRequests(socket, _structured);
        _batch = new NbdReplyBatch(_pending.Sender);
        _builder = new NbdReplyBuilder(_backend, negotiated);
    }

    /// <summary>Serves requests until the client leaves, breaks the protocol or is dropped, and nothing is on its way.</summary>
    /// <returns>Why it ended, for the log.</returns>
    public string Run()
    {
        string reason = ServeAll();
        _batch.Flush();
        return reason;
    }

    /// <summary>Waits for the requests on their way and gives the memory back.</summary>
    public void Dispose()
    {
        _pending.WaitEmpty();
        _pending.Sender.Dispose();
        _batch.Dispose();
        _reader.Dispose();
    }

    private string ServeAll()
    {
        while (true)
        {
            switch (_reader.TryRead(out NbdRequestHeader header, out ReadOnlyMemory<byte> payload))
            {
                case NbdReadResult.Incomplete:
                    _batch.Flush();
                    if (!_reader.Fill())
                    {
                        return "connection closed";
                    }

                    break;
                case NbdReadResult.Garbage:
                    return "invalid request magic";
                default:
                    if (Serve(header, payload) is { } end)
                    {
                        return end;
                    }

                    break;
            }
        }
    }

    /// <summary>Serves one request; a text ends the connection.</summary>
    private string? Serve(in NbdRequestHeader header, ReadOnlyMemory<byte> payload)
    {
        if (header.Command == NbdCommand.Disconnect)
        {
            return "client disconnected";
        }

        NbdError error = NbdRequestCheck.Check(header, _export, _structured, _builder.HasContexts, out string? message);
        bool isLargeWrite = header.Command == NbdCommand.Write && header.Length > NbdRequestReader.LargePayloadBytes;
        if (isLargeWrite && header.Length > NbdProtocol.MaxPayloadBytes)
        {
            ReplyError(header, error, message!);
            return "payload too long";
        }

        if (isLargeWrite)
        {
            return WriteLarge(header, error, message) ? null : "connection closed";
        }

        if (error != NbdError.None)
        {
            ReplyError(header, error, message!);
        }
        else if (header.Length == 0 && header.Command != NbdCommand.Flush)
        {
            ReplyEmpty(header);
        }
        else
        {
            Start(header, payload);
        }

        return null;
    }

    private void Start(in NbdRequestHeader header, ReadOnlyMemory<byte> payload)
    {
        bool fua = (header.Flags & NbdCommandFlags.Fua) != 0;
        try
        {
            switch (header.Command)
            {
                case NbdCommand.Read when header.Length <= BatchedReadBytes && !fua:
                    Read(header);
                    break;
                case NbdCommand.Write:
                    Settle(header, _backend.WriteAsync((long)header.Offset, payload, WriteFlags(header)), _reader.Buffer);
                    break;
                case NbdCommand.Flush:
                    Settle(header, _backend.FlushAsync(), null);
                    break;
                case NbdCommand.Trim when !fua:
                    Settle(header, _backend.DiscardAsync((long)header.Offset, header.Length), null);
                    break;
                case NbdCommand.WriteZeroes:
                    Settle(header, _backend.WriteZeroesAsync((long)header.Offset, header.Length, WriteFlags(header)), null);
                    break;
                default:
                    StartBuilt(header);
                    break;
            }
        }
        catch (BlockIoException e)
        {
            ReplyFailure(header, e);
        }
    }

    /// <summary>Reads into the batch, behind room for the header.</summary>
    private void Read(in NbdRequestHeader header)
    {
        int head = _structured ? NbdDataChunk.Size : NbdSimpleReply.Size;
        int length = (int)header.Length;
        Memory<byte> segment = _batch.Reserve(head + length);
        ValueTask read = _backend.ReadAsync((long)header.Offset, segment[head..]);
        if (!read.IsCompleted)
        {
            NbdBuffer buffer = _batch.Detach(head + length);
            WriteReadHead(header, segment.Span);
            NbdPendingRequest request = Take(0);
            request.Begin(header, buffer);
            request.AddPart(segment);
            request.Await(read);
            return;
        }

        read.GetAwaiter().GetResult();
        if (_structured && (header.Flags & NbdCommandFlags.DontFragment) == 0 && segment.Span[head..].IndexOfAnyExcept((byte)0) < 0)
        {
            new NbdHoleChunk(NbdChunkFlags.Done, header.Cookie, header.Offset, header.Length).Write(_batch.ReserveSpan(NbdHoleChunk.Size));
            _batch.Add(NbdHoleChunk.Size);
            return;
        }

        WriteReadHead(header, segment.Span);
        _batch.Add(head + length);
    }

    private void WriteReadHead(in NbdRequestHeader header, Span<byte> destination)
    {
        if (_structured)
        {
            new NbdDataChunk(NbdChunkFlags.Done, header.Cookie, header.Offset, header.Length).Write(destination);
        }
        else
        {
            new NbdSimpleReply(NbdError.None, header.Cookie).Write(destination);
        }
    }

    /// <summary>Receives a large payload into its own memory, then writes it, or only takes it off the socket.</summary>
    private bool WriteLarge(in NbdRequestHeader header, NbdError error, string? message)
    {
        int length = (int)header.Length;
        _batch.Flush();
        NbdPendingRequest request = Take(length);
        NbdBuffer buffer = NbdBuffer.Rent(length);
        request.Begin(header, buffer);
        if (!_reader.ReceivePayload(buffer.Span(0, length)))
        {
            _pending.Return(request);
            return false;
        }

        if (error != NbdError.None)
        {
            _pending.Return(request);
            ReplyError(header, error, message!);
            return true;
        }

        ValueTask write;
        try
        {
            write = _backend.WriteAsync((long)header.Offset, buffer.Slice(0, length), WriteFlags(header));
        }
        catch (BlockIoException e)
        {
            write = ValueTask.FromException(e);
        }

        Settle(request, write);
        return true;
    }

    /// <summary>Starts a request whose reply is built in memory of its own.</summary>
    private void StartBuilt(in NbdRequestHeader header)
    {
        NbdPendingRequest request = Take(_builder.BytesFor(header));
        request.Begin(header, null);
        Settle(request, _builder.BuildAsync(request));
    }

    /// <summary>Replies to work that needs no memory for its reply, now or when it is done.</summary>
    /// <param name="header">The request.</param>
    /// <param name="work">The work, begun.</param>
    /// <param name="held">Memory that it uses while it is not done.</param>
    private void Settle(in NbdRequestHeader header, ValueTask work, NbdBuffer? held)
    {
        if (work.IsCompleted)
        {
            work.GetAwaiter().GetResult();
            AddSimpleReply(header, NbdError.None);
            return;
        }

        held?.Retain();
        NbdPendingRequest request = Take(0);
        request.Begin(header, held);
        request.Await(work);
    }

    private void Settle(NbdPendingRequest request, ValueTask work)
    {
        if (!work.IsCompleted)
        {
            request.Await(work);
            return;
        }

        request.Finish(work);
        _batch.Send();
        _pending.Sender.Deliver(request, wait: true);
    }

    /// <summary>Takes a request for work that may last, sending the batch first if that must wait for others.</summary>
    private NbdPendingRequest Take(int bytes)
    {
        if (!_pending.HasRoom(bytes))
        {
            _batch.Send();
        }

        return _pending.Take(bytes);
    }

    private void ReplyEmpty(in NbdRequestHeader header)
    {
        if (_structured && header.Command == NbdCommand.Read)
        {
            new NbdChunkHeader(NbdChunkFlags.Done, NbdChunkType.None, header.Cookie, 0).Write(_batch.ReserveSpan(NbdChunkHeader.Size));
            _batch.Add(NbdChunkHeader.Size);
            return;
        }

        AddSimpleReply(header, NbdError.None);
    }

    private void ReplyFailure(in NbdRequestHeader header, BlockIoException failure) =>
        ReplyError(header, NbdErrorMapping.FromErrno(failure.Errno), NbdFailure.Describe(header.Command));

    private void ReplyError(in NbdRequestHeader header, NbdError error, string message)
    {
        if (!_structured)
        {
            AddSimpleReply(header, error);
            return;
        }

        var chunk = new NbdErrorChunk(header.Cookie, error, message);
        chunk.Write(_batch.ReserveSpan(chunk.Size));
        _batch.Add(chunk.Size);
    }

    private void AddSimpleReply(in NbdRequestHeader header, NbdError error)
    {
        new NbdSimpleReply(error, header.Cookie).Write(_batch.ReserveSpan(NbdSimpleReply.Size));
        _batch.Add(NbdSimpleReply.Size);
    }

    private BlockWriteFlags WriteFlags(in NbdRequestHeader header)
    {
        BlockWriteFlags flags = _export.IsWritethrough || (header.Flags & NbdCommandFlags.Fua) != 0 ? BlockWriteFlags.Fua : BlockWriteFlags.None;
        if (header.Command == NbdCommand.WriteZeroes)
        {
            flags |= (header.Flags & NbdCommandFlags.NoHole) != 0 ? BlockWriteFlags.None : BlockWriteFlags.MayUnmap;
            flags |= (header.Flags & NbdCommandFlags.FastZero) != 0 ? BlockWriteFlags.NoFallback : BlockWriteFlags.None;
        }

        return flags;
    }
}
