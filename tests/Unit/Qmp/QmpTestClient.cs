using System.Net.Sockets;
using System.Text;

namespace Unit.Qmp;

/// <summary>The other end of a session's socket.</summary>
internal sealed class QmpTestClient : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    private readonly List<byte> _received = [];

    public QmpTestClient(string path)
    {
        _socket.ReceiveTimeout = 20_000;
        _socket.Connect(new UnixDomainSocketEndPoint(path));
    }

    public void Send(string text) => Send(Encoding.UTF8.GetBytes(text));

    public void Send(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[_socket.Send(bytes)..];
        }
    }

    public void EndSending() => _socket.Shutdown(SocketShutdown.Send);

    public string Ask(string text)
    {
        Send(text);
        return ReadLine();
    }

    /// <summary>One line without its end; <c>EOF</c> when the server has closed.</summary>
    public string ReadLine()
    {
        byte[] buffer = new byte[65536];
        for (; ; )
        {
            int end = _received.IndexOf((byte)'\n');
            if (end >= 0)
            {
                string line = Encoding.UTF8.GetString([.. _received.Take(end + 1)]);
                _received.RemoveRange(0, end + 1);
                return line.EndsWith("\r\n", StringComparison.Ordinal) ? line[..^2] : throw new InvalidDataException(line);
            }

            int length = Receive(buffer);
            if (length == 0)
            {
                return _received.Count == 0 ? "EOF" : throw new InvalidDataException("broken line");
            }

            _received.AddRange(buffer.AsSpan(0, length));
        }
    }

    public byte[] ReadToEnd()
    {
        byte[] buffer = new byte[65536];
        for (int length = Receive(buffer); length > 0; length = Receive(buffer))
        {
            _received.AddRange(buffer.AsSpan(0, length));
        }

        return [.. _received];
    }

    /// <summary>What one receive call gives.</summary>
    public string ReceiveOnce()
    {
        byte[] buffer = new byte[65536];
        return Encoding.UTF8.GetString(buffer, 0, Receive(buffer));
    }

    public void Dispose() => _socket.Dispose();

    private int Receive(byte[] buffer)
    {
        try
        {
            return _socket.Receive(buffer);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            return 0;
        }
    }
}
