using System.Net.Sockets;
using System.Text;
using Monitor.Nbd;
using NUnit.Framework;

namespace Unit.Nbd;

/// <summary>A client that sends exactly what a test says and shows exactly what comes back.</summary>
public sealed class NbdScriptedClient : IDisposable
{
    /// <summary>Longer than anything takes; only a defect waits it out.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    public NbdScriptedClient(string path)
    {
        _socket.Connect(new UnixDomainSocketEndPoint(path));
        _socket.ReceiveTimeout = _socket.SendTimeout = (int)Patience.TotalMilliseconds;
        Stream = new NetworkStream(_socket);
    }

    public NetworkStream Stream { get; }

    /// <summary>Negotiates an export with structured replies.</summary>
    public NbdScriptedClient Go(params string[] contexts)
    {
        Export = NbdClientHandshake.Connect(Stream, "e", contexts);
        return this;
    }

    /// <summary>Negotiates an export with simple replies.</summary>
    public NbdScriptedClient GoSimply()
    {
        NbdClientHandshake.Begin(Stream);
        var query = new NbdExportQuery("e", []);
        byte[] data = new byte[query.Size];
        query.Write(data);
        Assert.That(NbdClientHandshake.Ask(Stream, NbdOption.Go, data)[^1].Type, Is.EqualTo(NbdOptionReply.Ack));
        return this;
    }

    public NbdClientExport? Export { get; private set; }

    public (NbdOptionReply Type, string Text)[] Ask(NbdOption option, params byte[] data) =>
        [.. NbdClientHandshake.Ask(Stream, option, data).Select(reply => (reply.Type, Encoding.UTF8.GetString(reply.Data)))];

    public void Send(NbdCommand command, ulong offset, uint length, NbdCommandFlags flags = NbdCommandFlags.None, ulong cookie = 1, byte[]? payload = null)
    {
        byte[] bytes = new byte[NbdRequestHeader.Size + (payload?.Length ?? 0)];
        new NbdRequestHeader(flags, command, cookie, offset, length).Write(bytes);
        payload?.CopyTo(bytes, NbdRequestHeader.Size);
        Stream.Write(bytes);
    }

    /// <summary>Reads one simple reply.</summary>
    public NbdSimpleReply ReadSimple()
    {
        Assert.That(NbdSimpleReply.TryRead(ReadBytes(NbdSimpleReply.Size), out NbdSimpleReply reply), Is.True, "not a simple reply");
        return reply;
    }

    /// <summary>Reads one chunk.</summary>
    public (NbdChunkHeader Header, byte[] Data) ReadChunk()
    {
        Assert.That(NbdChunkHeader.TryRead(ReadBytes(NbdChunkHeader.Size), out NbdChunkHeader header), Is.True, "not a chunk");
        return (header, ReadBytes((int)header.Length));
    }

    /// <summary>Reads the error chunk that ends a request.</summary>
    public NbdErrorChunk ReadError()
    {
        (NbdChunkHeader header, byte[] data) = ReadChunk();
        Assert.That(header.Type, Is.EqualTo(NbdChunkType.Error));
        Assert.That(NbdErrorChunk.TryRead(header, data, out NbdErrorChunk error), Is.True);
        return error;
    }

    /// <summary>Reads the chunks of one successful read and puts its bytes together.</summary>
    public (byte[] Bytes, List<NbdChunkType> Types) ReadData(ulong offset, int length)
    {
        byte[] bytes = new byte[length];
        Array.Fill(bytes, (byte)0xEE);
        var types = new List<NbdChunkType>();
        NbdChunkHeader header;
        do
        {
            (header, byte[] data) = ReadChunk();
            types.Add(header.Type);
            if (header.Type == NbdChunkType.OffsetData)
            {
                NbdDataChunk chunk = NbdDataChunk.Read(header, data);
                data.AsSpan(8).CopyTo(bytes.AsSpan((int)(chunk.Offset - offset)));
            }
            else
            {
                Assert.That(header.Type, Is.EqualTo(NbdChunkType.OffsetHole));
                NbdHoleChunk chunk = NbdHoleChunk.Read(header, data);
                bytes.AsSpan((int)(chunk.Offset - offset), (int)chunk.Length).Clear();
            }
        }
        while (header.Flags != NbdChunkFlags.Done);
        return (bytes, types);
    }

    /// <summary>Reads one context's extents.</summary>
    public (uint Context, NbdExtent[] Extents, bool Done) ReadStatus()
    {
        (NbdChunkHeader header, byte[] data) = ReadChunk();
        Assert.That(header.Type, Is.EqualTo(NbdChunkType.BlockStatus));
        var extents = new NbdExtent[(data.Length - 4) / NbdExtent.Size];
        for (int i = 0; i < extents.Length; i++)
        {
            extents[i] = NbdExtent.Read(data.AsSpan(4 + (i * NbdExtent.Size)));
        }

        return (data[3], extents, header.Flags == NbdChunkFlags.Done);
    }

    public byte[] ReadBytes(int count)
    {
        byte[] bytes = new byte[count];
        Stream.ReadExactly(bytes);
        return bytes;
    }

    /// <summary>Reads to the end of the connection.</summary>
    public void ReadToEnd()
    {
        byte[] bytes = new byte[4096];
        try
        {
            while (Stream.Read(bytes) > 0)
            {
            }
        }
        catch (IOException e) when (e.InnerException is SocketException { SocketErrorCode: SocketError.ConnectionReset })
        {
            // The server closed with our bytes unread.
        }
    }

    public void Dispose()
    {
        Stream.Dispose();
        _socket.Dispose();
    }
}
