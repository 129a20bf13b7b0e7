using System.Net.Sockets;
using Monitor.Nbd;

namespace Unit.Nbd;

/// <summary>A server that negotiates one export of 1 MiB and then answers exactly what a test says.</summary>
public sealed class NbdScriptedServer : IDisposable
{
    public const int SizeBytes = 1 << 20;

    public const uint ContextId = 7;

    private readonly string _directory = Directory.CreateTempSubdirectory("nbd-").FullName;
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private Socket? _socket;
    private volatile bool _done;

    /// <summary>Listens; <paramref name="serve"/> runs on a thread of its own with the first connection.</summary>
    public NbdScriptedServer(Action<NbdScriptedServer> serve)
    {
        _listener.Bind(new UnixDomainSocketEndPoint(Path));
        _listener.Listen();
        new Thread(() => Serve(serve)) { IsBackground = true }.Start();
    }

    public string Path => System.IO.Path.Combine(_directory, "s");

    public NetworkStream Stream { get; private set; } = null!;

    /// <summary>Whether the script has ended.</summary>
    public bool IsDone => _done;

    /// <summary>Negotiates whatever the client asks for, with structured replies.</summary>
    public void Negotiate(
        NbdTransmissionFlags flags = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush, NbdBlockSizes? sizes = null)
    {
        byte[] greeting = new byte[NbdGreeting.Size];
        new NbdGreeting(NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes).Write(greeting);
        Stream.Write(greeting);
        ReadBytes(4);
        while (true)
        {
            byte[] header = ReadBytes(NbdOptionHeader.Size);
            NbdOptionHeader.TryRead(header, out NbdOptionHeader option);
            ReadBytes((int)option.Length);
            switch (option.Option)
            {
                case NbdOption.SetMetaContext:
                    Reply(option.Option, NbdOptionReply.MetaContext, [0, 0, 0, (byte)ContextId, .. "base:allocation"u8]);
                    break;
                case NbdOption.Go:
                    byte[] export = new byte[2 + NbdExportInfo.Size];
                    new NbdExportInfo(SizeBytes, flags).Write(export.AsSpan(2));
                    Reply(option.Option, NbdOptionReply.Info, export);
                    byte[] blocks = new byte[2 + NbdBlockSizes.Size];
                    blocks[1] = (byte)NbdInfo.BlockSize;
                    (sizes ?? new NbdBlockSizes(1, 4096, 32 << 20)).Write(blocks.AsSpan(2));
                    Reply(option.Option, NbdOptionReply.Info, blocks);
                    Reply(option.Option, NbdOptionReply.Ack, []);
                    return;
            }

            Reply(option.Option, NbdOptionReply.Ack, []);
        }
    }

    /// <summary>The next request; a write's payload is read past.</summary>
    public NbdRequestHeader ReadRequest()
    {
        NbdRequestHeader.TryRead(ReadBytes(NbdRequestHeader.Size), out NbdRequestHeader request);
        if (request.Command == NbdCommand.Write)
        {
            ReadBytes((int)request.Length);
        }

        return request;
    }

    /// <summary>Sends a chunk.</summary>
    public void SendChunk(NbdChunkFlags flags, NbdChunkType type, ulong cookie, params byte[] data)
    {
        byte[] bytes = new byte[NbdChunkHeader.Size + data.Length];
        new NbdChunkHeader(flags, type, cookie, (uint)data.Length).Write(bytes);
        data.CopyTo(bytes, NbdChunkHeader.Size);
        Stream.Write(bytes);
    }

    /// <summary>Sends a data chunk whose bytes are all the same.</summary>
    public void SendData(in NbdRequestHeader request, ulong offset, int length, byte value, NbdChunkFlags flags = NbdChunkFlags.None)
    {
        byte[] bytes = new byte[NbdDataChunk.Size + length];
        new NbdDataChunk(flags, request.Cookie, offset, (uint)length).Write(bytes);
        bytes.AsSpan(NbdDataChunk.Size).Fill(value);
        Stream.Write(bytes);
    }

    public byte[] ReadBytes(int count)
    {
        byte[] bytes = new byte[count];
        Stream.ReadExactly(bytes);
        return bytes;
    }

    /// <summary>Ends the connection.</summary>
    public void HangUp() => _socket?.Shutdown(SocketShutdown.Both);

    public void Dispose()
    {
        _listener.Dispose();
        _socket?.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    private void Reply(NbdOption option, NbdOptionReply type, byte[] data)
    {
        byte[] bytes = new byte[NbdOptionReplyHeader.Size + data.Length];
        new NbdOptionReplyHeader(option, type, (uint)data.Length).Write(bytes);
        data.CopyTo(bytes, NbdOptionReplyHeader.Size);
        Stream.Write(bytes);
    }

    private void Serve(Action<NbdScriptedServer> serve)
    {
        try
        {
            _socket = _listener.Accept();
            Stream = new NetworkStream(_socket);
            serve(this);
            _done = true;
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            // The client had enough, or the test is over.
        }
    }
}
