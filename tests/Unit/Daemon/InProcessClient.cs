using System.Text;
using Monitor.Qmp;

namespace Unit.Daemon;

/// <summary>A client in memory: hands the session bytes, one chunk at a time, and keeps what it sends.</summary>
/// <remarks>A chunk is dealt with when the session asks for the next one; what that cost the session's thread in allocations is counted.</remarks>
internal sealed class InProcessClient : QmpTransport
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private readonly SemaphoreSlim _given = new(0);
    private readonly SemaphoreSlim _asked = new(0);
    private readonly object _gate = new();
    private readonly MemoryStream _output = new();
    private ReadOnlyMemory<byte> _chunk;
    private long _allocatedBefore;
    private volatile bool _hasEnded;

    /// <summary>Bytes that the session's thread allocated for the last chunk.</summary>
    public long AllocatedBytes { get; private set; }

    /// <summary>The session has ended the connection.</summary>
    public bool HasEnded => _hasEnded;

    /// <summary>Sends a request and returns what has come when the session asks for more: the reply of a command that did not wait.</summary>
    public string Ask(string request)
    {
        Send(Encoding.UTF8.GetBytes(request));
        return TakeOutput();
    }

    /// <summary>Sends bytes, in pieces of at most a receive's size, and waits until the session wants more.</summary>
    public void Send(ReadOnlyMemory<byte> bytes)
    {
        while (bytes.Length > 0 && !_hasEnded)
        {
            int length = Math.Min(bytes.Length, 64 << 10);
            _chunk = bytes[..length];
            _given.Release();
            WaitUntilIdle();
            bytes = bytes[length..];
        }
    }

    /// <summary>Says that nothing more comes.</summary>
    public void Leave() => EndReceiving();

    /// <summary>Waits until the session asks for bytes or has ended.</summary>
    public void WaitUntilIdle()
    {
        if (!_asked.Wait(s_patience))
        {
            throw new TimeoutException("the session hangs");
        }
    }

    /// <summary>What has been sent since the last call.</summary>
    public string TakeOutput()
    {
        lock (_gate)
        {
            string text = Encoding.ASCII.GetString(_output.GetBuffer(), 0, (int)_output.Length);
            _output.SetLength(0);
            return text;
        }
    }

    /// <summary>Forgets what has been sent.</summary>
    public void DropOutput()
    {
        lock (_gate)
        {
            _output.SetLength(0);
        }
    }

    /// <summary>Waits for a whole message: of a command that awaits something.</summary>
    public string TakeMessage()
    {
        lock (_gate)
        {
            while (_output.Length == 0)
            {
                if (!System.Threading.Monitor.Wait(_gate, s_patience))
                {
                    throw new TimeoutException("no message came");
                }
            }

            return TakeOutput();
        }
    }

    /// <inheritdoc/>
    public override int Receive(Span<byte> buffer)
    {
        AllocatedBytes = GC.GetAllocatedBytesForCurrentThread() - _allocatedBefore;
        _asked.Release();
        _given.Wait();
        int length = _hasEnded ? 0 : _chunk.Length;
        _chunk.Span[..length].CopyTo(buffer);
        _allocatedBefore = GC.GetAllocatedBytesForCurrentThread();
        return length;
    }

    /// <inheritdoc/>
    public override string DescribePeer() => "a test";

    /// <inheritdoc/>
    protected override void EndReceivingCore()
    {
        _hasEnded = true;
        _given.Release();
    }

    /// <inheritdoc/>
    protected override void EndCore() => EndReceivingCore();

    /// <inheritdoc/>
    protected override int SendCore(ReadOnlySpan<byte> bytes, bool isWaiting)
    {
        lock (_gate)
        {
            _output.Write(bytes);
            System.Threading.Monitor.PulseAll(_gate);
            return bytes.Length;
        }
    }

    /// <inheritdoc/>
    protected override void Close()
    {
        _hasEnded = true;
        _asked.Release();
    }
}
