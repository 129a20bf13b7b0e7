using Monitor.Nbd;
namespace Monitor.Storage.Exports;

/// <summary>The requests of one connection that are on their way: how many and how many bytes they hold, both bounded.</summary>
internal sealed class NbdPendingRequests
{
    /// <summary>Requests on their way at once; further ones wait in the socket.</summary>
    public const int CountLimit = 128;

    /// <summary>Bytes that the buffers of those requests may hold; a single request may always run.</summary>
    public const long BytesLimit = 64L << 20;

    private readonly object _gate = new();
    private readonly Stack<NbdPendingRequest> _idle = new();
    private int _count;
    private long _bytes;

    /// <summary>Makes it for one connection.</summary>
    public NbdPendingRequests(NbdSocket socket, bool structuredReplies)
    {
        StructuredReplies = structuredReplies;
        Sender = new NbdSender(socket, this);
    }

    /// <summary>Whether errors are told in chunks.</summary>
    public bool StructuredReplies { get; }

    /// <summary>Where replies go.</summary>
    public NbdSender Sender { get; }

    /// <summary>Whether <see cref="Take"/> would not wait. Only the connection's own thread takes.</summary>
    public bool HasRoom(int bytes)
    {
        lock (_gate)
        {
            return HasRoomLocked(bytes);
        }
    }

    /// <summary>Takes a request, waiting until there is room.</summary>
    public NbdPendingRequest Take(int bytes)
    {
        lock (_gate)
        {
            while (!HasRoomLocked(bytes))
            {
                System.Threading.Monitor.Wait(_gate);
            }

            _count++;
            _bytes += bytes;
            NbdPendingRequest request = _idle.TryPop(out NbdPendingRequest? idle) ? idle : new NbdPendingRequest(this);
            request.Bytes = bytes;
            return request;
        }
    }

    /// <summary>Takes a request back after its reply was sent.</summary>
    public void Return(NbdPendingRequest request)
    {
        request.Clear();
        lock (_gate)
        {
            _count--;
            _bytes -= request.Bytes;
            _idle.Push(request);
            System.Threading.Monitor.Pulse(_gate);
        }
    }

    /// <summary>Waits until nothing is on its way.</summary>
    public void WaitEmpty()
    {
        lock (_gate)
        {
            while (_count > 0)
            {
                System.Threading.Monitor.Wait(_gate);
            }
        }
    }

    private bool HasRoomLocked(int bytes) => _count == 0 || (_count < CountLimit && _bytes + bytes <= BytesLimit);
}
