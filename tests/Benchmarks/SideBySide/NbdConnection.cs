using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;

namespace Benchmarks.SideBySide;

/// <summary>A blocking NBD client (fixed newstyle, structured replies) that keeps a number of random requests in flight.</summary>
internal sealed class NbdConnection : IDisposable
{
    private const ulong OptionMagic = 0x49484156454F5054;
    private const ulong OptionReplyMagic = 0x3e889045565a9;
    private const uint RequestMagic = 0x25609513;
    private const uint SimpleReplyMagic = 0x67446698;
    private const uint StructuredReplyMagic = 0x668e33ef;
    private const uint OptionGo = 7;
    private const uint OptionStructuredReply = 8;
    private const uint OptionSetMetaContext = 10;
    private const ushort CommandBlockStatus = 7;
    private const ushort ChunkBlockStatus = 5;
    private const int RequestBytes = 28;

    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly byte[] _receive = new byte[1 << 20];
    private int _start;
    private int _end;

    /// <summary>Connects to an export.</summary>
    /// <param name="path">The server's socket.</param>
    /// <param name="export">The export's name.</param>
    /// <param name="allocation">Whether <see cref="CountExtents"/> will be asked.</param>
    public NbdConnection(string path, string export, bool allocation = false)
    {
        _socket.ReceiveTimeout = _socket.SendTimeout = (int)Patience.Answer.TotalMilliseconds;
        _socket.Connect(new UnixDomainSocketEndPoint(path));
        Skip(18);
        Span<byte> clientFlags = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(clientFlags, 3);
        _socket.Send(clientFlags);
        Negotiate(OptionStructuredReply, []);
        if (allocation)
        {
            Negotiate(OptionSetMetaContext, MetaContextQuery(export, "base:allocation"));
        }

        byte[] go = new byte[4 + export.Length + 2];
        BinaryPrimitives.WriteInt32BigEndian(go, export.Length);
        Encoding.ASCII.GetBytes(export, go.AsSpan(4));
        Negotiate(OptionGo, go);
    }

    /// <summary>Runs random 4 KiB-like requests at a fixed depth for a while.</summary>
    /// <param name="write">Writes instead of reads.</param>
    /// <param name="size">Bytes of one request.</param>
    /// <param name="span">Offsets lie below this.</param>
    /// <param name="depth">Requests in flight.</param>
    /// <param name="burst">How long.</param>
    /// <param name="most">At most so many requests.</param>
    /// <param name="seed">Of the offsets.</param>
    /// <param name="sequential">One range after the other, round again at the end.</param>
    /// <returns>Requests completed.</returns>
    public long Load(bool write, int size, long span, int depth, TimeSpan burst, long most = long.MaxValue, int seed = 42, bool sequential = false)
    {
        byte[] send = new byte[depth * (RequestBytes + (write ? size : 0))];
        new Random(7).NextBytes(send);
        var random = new Random(seed);
        long done = 0;
        long next = 0;
        int inFlight = 0;
        int ready = depth;
        long end = Environment.TickCount64 + (long)burst.TotalMilliseconds;
        while (ready > 0 || inFlight > 0)
        {
            if (ready > 0)
            {
                int bytes = 0;
                for (int i = 0; i < ready; i++)
                {
                    bytes += Request(
                        send.AsSpan(bytes), write, (sequential ? next++ % (span / size) : random.NextInt64(span / size)) * size, size);
                }

                _socket.Send(send, bytes, SocketFlags.None);
                inFlight += ready;
            }

            ready = Complete(size);
            inFlight -= ready;
            done += ready;
            ready = Environment.TickCount64 >= end ? 0 : (int)Math.Min(ready, most - done - inFlight);
        }

        return done;
    }

    /// <summary>Reads one sector in each step of a range.</summary>
    public void Touch(long span, long step)
    {
        byte[] request = new byte[RequestBytes];
        for (long offset = 0; offset < span; offset += step)
        {
            Request(request, write: false, offset, 512);
            _socket.Send(request);
            Complete(512);
        }
    }

    /// <summary>Asks for the allocation map of a range, as often as it takes.</summary>
    /// <returns>Extents told.</returns>
    public long CountExtents(long span)
    {
        byte[] request = new byte[RequestBytes];
        long extents = 0;
        for (long offset = 0; offset < span;)
        {
            int length = (int)Math.Min(span - offset, 1 << 30);
            Request(request, write: false, offset, length);
            BinaryPrimitives.WriteUInt16BigEndian(request.AsSpan(6), CommandBlockStatus);
            _socket.Send(request);
            Need(20);
            ReadOnlySpan<byte> header = _receive.AsSpan(_start);
            int bytes = BinaryPrimitives.ReadInt32BigEndian(header[16..]);
            if (BinaryPrimitives.ReadUInt16BigEndian(header[6..]) != ChunkBlockStatus)
            {
                throw new InvalidOperationException("no block status in the NBD reply");
            }

            _start += 20;
            Need(bytes);
            for (int at = 4; at < bytes; at += 8, extents++)
            {
                offset += BinaryPrimitives.ReadUInt32BigEndian(_receive.AsSpan(_start + at));
            }

            _start += bytes;
        }

        return extents;
    }

    public void Dispose() => _socket.Dispose();

    private static byte[] MetaContextQuery(string export, string context)
    {
        byte[] query = new byte[4 + export.Length + 4 + 4 + context.Length];
        BinaryPrimitives.WriteInt32BigEndian(query, export.Length);
        Encoding.ASCII.GetBytes(export, query.AsSpan(4));
        BinaryPrimitives.WriteInt32BigEndian(query.AsSpan(4 + export.Length), 1);
        BinaryPrimitives.WriteInt32BigEndian(query.AsSpan(8 + export.Length), context.Length);
        Encoding.ASCII.GetBytes(context, query.AsSpan(12 + export.Length));
        return query;
    }

    private static int Request(Span<byte> to, bool write, long offset, int size)
    {
        BinaryPrimitives.WriteUInt32BigEndian(to, RequestMagic);
        BinaryPrimitives.WriteUInt16BigEndian(to[4..], 0);
        BinaryPrimitives.WriteUInt16BigEndian(to[6..], (ushort)(write ? 1 : 0));
        BinaryPrimitives.WriteUInt64BigEndian(to[8..], 1);
        BinaryPrimitives.WriteInt64BigEndian(to[16..], offset);
        BinaryPrimitives.WriteInt32BigEndian(to[24..], size);
        return RequestBytes + (write ? size : 0);
    }

    /// <summary>Receives at least one whole reply and all that came with it.</summary>
    private int Complete(int size)
    {
        int replies = 0;
        do
        {
            Need(16);
            uint magic = BinaryPrimitives.ReadUInt32BigEndian(_receive.AsSpan(_start));
            uint error = BinaryPrimitives.ReadUInt32BigEndian(_receive.AsSpan(_start + 4));
            if (magic == SimpleReplyMagic)
            {
                if (error != 0)
                {
                    throw new InvalidOperationException($"NBD error {error}");
                }

                _start += 16;
                replies++;
                continue;
            }

            replies += StructuredChunk(magic, size);
        }
        while (_end - _start >= 16 || replies == 0);
        return replies;
    }

    private int StructuredChunk(uint magic, int size)
    {
        Need(20);
        ReadOnlySpan<byte> header = _receive.AsSpan(_start);
        ushort type = BinaryPrimitives.ReadUInt16BigEndian(header[6..]);
        int length = BinaryPrimitives.ReadInt32BigEndian(header[16..]);
        if (magic != StructuredReplyMagic || (type & 0x8000) != 0 || length > size + 8)
        {
            throw new InvalidOperationException($"bad NBD reply, type {type:x}");
        }

        int last = header[5] & 1;
        _start += 20;
        Skip(length);
        return last;
    }

    private void Negotiate(uint option, ReadOnlySpan<byte> data)
    {
        Span<byte> request = stackalloc byte[16 + data.Length];
        BinaryPrimitives.WriteUInt64BigEndian(request, OptionMagic);
        BinaryPrimitives.WriteUInt32BigEndian(request[8..], option);
        BinaryPrimitives.WriteInt32BigEndian(request[12..], data.Length);
        data.CopyTo(request[16..]);
        _socket.Send(request);
        uint type;
        do
        {
            Need(20);
            ReadOnlySpan<byte> reply = _receive.AsSpan(_start);
            type = BinaryPrimitives.ReadUInt32BigEndian(reply[12..]);
            int length = BinaryPrimitives.ReadInt32BigEndian(reply[16..]);
            if (BinaryPrimitives.ReadUInt64BigEndian(reply) != OptionReplyMagic || (type & 0x80000000) != 0)
            {
                throw new InvalidOperationException($"NBD option {option} answered {type:x}");
            }

            _start += 20;
            Skip(length);
        }
        while (type != 1);
    }

    private void Skip(int bytes)
    {
        while (bytes > _end - _start)
        {
            bytes -= _end - _start;
            _start = _end = 0;
            Need(1);
        }

        _start += bytes;
    }

    private void Need(int bytes)
    {
        if (_end - _start >= bytes)
        {
            return;
        }

        _receive.AsSpan(_start, _end - _start).CopyTo(_receive);
        _end -= _start;
        _start = 0;
        while (_end < bytes)
        {
            int got = _socket.Receive(_receive.AsSpan(_end));
            _end += got > 0 ? got : throw new EndOfStreamException("the NBD server closed the connection");
        }
    }
}
