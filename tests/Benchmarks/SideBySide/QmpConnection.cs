using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;

namespace Benchmarks.SideBySide;

/// <summary>A plain blocking QMP client that costs as little as possible itself.</summary>
internal sealed class QmpConnection : IDisposable
{
    private readonly Socket _socket;
    private readonly byte[] _buffer = new byte[1 << 18];
    private readonly MemoryStream _line = new();
    private readonly Queue<JsonNode> _events = new();
    private int _start;
    private int _end;

    /// <summary>Takes over a connected socket and reads the greeting.</summary>
    public QmpConnection(Socket socket)
    {
        _socket = socket;
        ReadLine();
    }

    /// <summary>Sends a command and returns its reply's value; events that come before it are kept.</summary>
    public JsonNode? Command(string name, JsonObject? arguments = null)
    {
        var command = new JsonObject { ["execute"] = name };
        if (arguments is not null)
        {
            command["arguments"] = arguments;
        }

        _socket.Send(Encoding.UTF8.GetBytes(command.ToJsonString() + "\n"));
        while (true)
        {
            JsonNode message = JsonNode.Parse(ReadLine())!;
            if (message["error"] is { } error)
            {
                throw new InvalidOperationException($"{name}: {error["desc"]}");
            }

            if (message["event"] is null)
            {
                return message["return"];
            }

            _events.Enqueue(message);
        }
    }

    /// <summary>The data of the next event of that name; the others before it are dropped.</summary>
    public JsonNode? WaitEvent(string name)
    {
        while (true)
        {
            JsonNode message = _events.TryDequeue(out JsonNode? kept) ? kept : JsonNode.Parse(ReadLine())!;
            if ((string?)message["event"] == name)
            {
                return message["data"];
            }
        }
    }

    /// <summary>Sends bytes that hold <paramref name="count"/> commands and skips as many lines.</summary>
    public void Exchange(ReadOnlySpan<byte> commands, int count)
    {
        if (count == 1)
        {
            _socket.Send(commands);
            SkipLines(1);
            return;
        }

        byte[] copy = commands.ToArray();
        var sender = new Thread(() => _socket.Send(copy));
        sender.Start();
        SkipLines(count);
        sender.Join();
    }

    public void Dispose() => _socket.Dispose();

    private void SkipLines(int count)
    {
        while (count > 0)
        {
            if (_start == _end)
            {
                Fill();
            }

            int newline = _buffer.AsSpan(_start, _end - _start).IndexOf((byte)'\n');
            _start = newline < 0 ? _end : _start + newline + 1;
            count -= newline < 0 ? 0 : 1;
        }
    }

    private string ReadLine()
    {
        _line.SetLength(0);
        while (true)
        {
            if (_start == _end)
            {
                Fill();
            }

            Span<byte> have = _buffer.AsSpan(_start, _end - _start);
            int newline = have.IndexOf((byte)'\n');
            _line.Write(newline < 0 ? have : have[..newline]);
            _start = newline < 0 ? _end : _start + newline + 1;
            if (newline >= 0)
            {
                return Encoding.UTF8.GetString(_line.GetBuffer(), 0, (int)_line.Length);
            }
        }
    }

    private void Fill()
    {
        _start = 0;
        _end = _socket.Receive(_buffer);
        if (_end == 0)
        {
            throw new EndOfStreamException("the daemon closed its QMP socket");
        }
    }
}
