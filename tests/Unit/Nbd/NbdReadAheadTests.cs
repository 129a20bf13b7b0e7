using System.Net.Sockets;
using Monitor.Nbd;
using NUnit.Framework;

namespace Unit.Nbd;

public sealed class NbdReadAheadTests
{
    private string _directory = null!;
    private Socket _client = null!;
    private NbdSocket _server = null!;
    private NbdReadAhead _ahead = null!;

    [SetUp]
    public void SetUp()
    {
        _directory = Directory.CreateTempSubdirectory("nbd-").FullName;
        var place = new UnixDomainSocketEndPoint(Path.Combine(_directory, "s"));
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(place);
        listener.Listen();
        _client = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        _client.Connect(place);
        _client.Blocking = false;
        _server = new NbdSocket(listener.Accept());
        _ahead = NbdReadAhead.TryCreate()!;
    }

    [TearDown]
    public void TearDown()
    {
        _ahead.Dispose();
        _server.Dispose();
        _client.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Test]
    public void A_client_that_filled_its_socket_goes_on_when_what_it_sent_is_taken()
    {
        byte[] bytes = new byte[4 << 20];
        new Random(1).NextBytes(bytes);
        int sent = SendWhatFits(bytes);
        Assert.That(_client.Poll(0, SelectMode.SelectWrite), Is.False, "a socket that is full");
        _ahead.Take(_server);
        Assert.That(_ahead.Count, Is.GreaterThan(0));
        Assert.That(_client.Poll(0, SelectMode.SelectWrite), Is.True, "room again");
        sent += SendWhatFits(bytes.AsSpan(sent));
        byte[] received = new byte[sent];
        int first = _ahead.Count;
        Assert.That(_ahead.Read(received.AsSpan(0, 28)), Is.EqualTo(28));
        Assert.That(_ahead.Read(received.AsSpan(28)), Is.EqualTo(first - 28));
        Assert.That(_ahead.Count, Is.Zero);
        Assert.That(_server.ReceiveExactly(received.AsSpan(first)), Is.True);
        Assert.That(received.AsSpan().SequenceEqual(bytes.AsSpan(0, sent)), Is.True);
    }

    [Test]
    public void Nothing_is_taken_where_nothing_is()
    {
        _ahead.Take(_server);
        Assert.That(_ahead.Count, Is.Zero, "a silent client");
        _client.Dispose();
        _ahead.Take(_server);
        Assert.That(_ahead.Count, Is.Zero, "a client that left");
    }

    private int SendWhatFits(ReadOnlySpan<byte> bytes)
    {
        int sent = 0;
        while (_client.Poll(0, SelectMode.SelectWrite))
        {
            sent += _client.Send(bytes[sent..], SocketFlags.None, out _);
        }

        return sent;
    }
}
