using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;

namespace Benchmarks.SideBySide;

/// <summary>A plain blocking QMP client that costs as little as possible itself.</summary>
internal sealed class QmpConnection : IDisposable
{
    private const int BatchesUnderWay = 3;

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
        Wait = Patience.Start;
        ReadLine();
    }

    /// <summary>How long a reply may take.</summary>
    public TimeSpan Wait
    {
        set => _socket.ReceiveTimeout = _socket.SendTimeout = (int)value.TotalMilliseconds;
    }

    /// <summary>Sends a command and returns its reply's value; events that come before it are kept.</summary>
    public JsonNode? Command(string name, JsonObject? arguments = null)
    {
        var command = new JsonObject { ["execute"] = name };
        if (arguments is not null)
        {
            command["arguments"] = arguments.Parent is null ? arguments : arguments.DeepClone();
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

    /// <summary>Sends a command and skips its reply.</summary>
    public void Exchange(ReadOnlySpan<byte> command)
    {
        _socket.Send(command);
        SkipLines(1);
    }

    /// <summary>Keeps commands coming while it skips their replies: another batch is on its way whenever one is being answered.</summary>
    /// <param name="batch">The commands of a batch.</param>
    /// <param name="count">How many those are.</param>
    /// <param name="burst">When to begin no more batches; there is one at least.</param>
    /// <returns>How many commands were answered.</returns>
    public long Pipeline(byte[] batch, int count, TimeSpan burst)
    {
        using var free = new SemaphoreSlim(BatchesUnderWay);
        using var underWay = new SemaphoreSlim(0);
        int sent = 0;
        Task sender = Task.Factory.StartNew(Send, default, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        int answered = 0;
        try
        {
            for (underWay.Wait(); answered < Volatile.Read(ref sent); underWay.Wait())
            {
                SkipLines(count);
                answered++;
                free.Release();
            }
        }
        catch
        {
            _socket.Dispose();
            free.Release();
            throw;
        }
        finally
        {
            sender.GetAwaiter().GetResult();
        }

        return (long)answered * count;

        void Send()
        {
            var clock = Stopwatch.StartNew();
            try
            {
                do
                {
                    free.Wait();
                    sent++;
                    underWay.Release();
                    _socket.Send(batch);
                }
                while (clock.Elapsed < burst);
            }
            finally
            {
                underWay.Release();
            }
        }
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
