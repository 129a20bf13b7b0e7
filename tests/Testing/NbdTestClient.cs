using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;

namespace Testing;

/// <summary>A plain blocking NBD client (fixed newstyle, simple replies): one request at a time, errors as errno.</summary>
public sealed class NbdTestClient : IDisposable
{
    private const ulong OptionMagic = 0x49484156454F5054;
    private readonly Socket _socket;

    /// <summary>Connects to a UNIX socket and opens an export.</summary>
    public NbdTestClient(string path, string export)
    {
        _socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        _socket.Connect(new UnixDomainSocketEndPoint(path));
        Receive(18);
        Span<byte> flags = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(flags, 3);
        _socket.Send(flags);
        byte[] name = Encoding.UTF8.GetBytes(export);
        byte[] option = new byte[16 + name.Length];
        BinaryPrimitives.WriteUInt64BigEndian(option, OptionMagic);
        BinaryPrimitives.WriteUInt32BigEndian(option.AsSpan(8), 1);
        BinaryPrimitives.WriteInt32BigEndian(option.AsSpan(12), name.Length);
        name.CopyTo(option, 16);
        _socket.Send(option);
        SizeBytes = BinaryPrimitives.ReadInt64BigEndian(Receive(10));
    }

    /// <summary>The export's size.</summary>
    public long SizeBytes { get; }

    /// <summary>Reads; returns the errno, 0 for success.</summary>
    public int Read(long offset, Span<byte> buffer)
    {
        int error = Request(0, offset, buffer.Length, []);
        if (error == 0)
        {
            Receive(buffer.Length).CopyTo(buffer);
        }

        return error;
    }

    /// <summary>Writes; returns the errno, 0 for success.</summary>
    public int Write(long offset, ReadOnlySpan<byte> data) => Request(1, offset, data.Length, data);

    /// <summary>Flushes; returns the errno, 0 for success.</summary>
    public int Flush() => Request(3, 0, 0, []);

    /// <summary>Trims; returns the errno, 0 for success.</summary>
    public int Trim(long offset, int length) => Request(4, offset, length, []);

    /// <summary>Writes zeroes; returns the errno, 0 for success.</summary>
    public int WriteZeroes(long offset, int length) => Request(6, offset, length, []);

    public void Dispose() => _socket.Dispose();

    private int Request(ushort type, long offset, int length, ReadOnlySpan<byte> payload)
    {
        byte[] request = new byte[28 + payload.Length];
        BinaryPrimitives.WriteUInt32BigEndian(request, 0x25609513);
        BinaryPrimitives.WriteUInt16BigEndian(request.AsSpan(6), type);
        BinaryPrimitives.WriteUInt64BigEndian(request.AsSpan(8), 1);
        BinaryPrimitives.WriteInt64BigEndian(request.AsSpan(16), offset);
        BinaryPrimitives.WriteInt32BigEndian(request.AsSpan(24), length);
        payload.CopyTo(request.AsSpan(28));
        _socket.Send(request);
        byte[] reply = Receive(16);
        if (BinaryPrimitives.ReadUInt32BigEndian(reply) != 0x67446698)
        {
            throw new IOException("not an NBD reply");
        }

        return BinaryPrimitives.ReadInt32BigEndian(reply.AsSpan(4));
    }

    private byte[] Receive(int count)
    {
        byte[] buffer = new byte[count];
        for (int done = 0; done < count;)
        {
            int got = _socket.Receive(buffer.AsSpan(done));
            done += got > 0 ? got : throw new IOException("the NBD server closed the connection");
        }

        return buffer;
    }
}
