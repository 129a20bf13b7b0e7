using System.Net.Sockets;
using System.Text;
using NUnit.Framework;

namespace Unit.Qmp;

/// <summary>A session over a real socket; the expected errors were taken from qemu-storage-daemon 7.2.</summary>
public sealed class QmpSessionTests
{
    private QmpTestServer _server = null!;

    [SetUp]
    public void Start() => _server = new QmpTestServer();

    [TearDown]
    public void Stop() => _server.Dispose();

    [Test]
    public void The_greeting_comes_alone_and_whole()
    {
        using var client = _server.Connect();
        Assert.That(client.ReceiveOnce(), Is.EqualTo(QmpTestServer.Greeting + "\r\n"));
    }

    [Test]
    public void The_socket_belongs_to_its_user_alone() =>
        Assert.That(File.GetUnixFileMode(_server.Path), Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite));

    [TestCase("{\"execute\":\"ping\"}", "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"Expecting capabilities negotiation with 'qmp_capabilities'\"}}")]
    [TestCase("{\"execute\":\"nosuch\"}", "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"Expecting capabilities negotiation with 'qmp_capabilities'\"}}")]
    [TestCase("{\"id\":1}", "{\"id\": 1, \"error\": {\"class\": \"GenericError\", \"desc\": \"QMP input lacks member 'execute'\"}}")]
    [TestCase("{\"exec-oob\":\"ping\"}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP input member 'exec-oob' is unexpected\"}}")]
    [TestCase("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}", "{\"return\": {}}")]
    [TestCase("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]}}", "{\"return\": {}}")]
    [TestCase("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"x\"]}}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Parameter 'null' does not accept value 'x'\"}}")]
    [TestCase("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":\"oob\"}}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Invalid parameter type for 'enable', expected: array\"}}")]
    [TestCase("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[1]}}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Invalid parameter type for 'enable[0]', expected: string\"}}")]
    public void Before_negotiation_only_negotiation_is_possible(string request, string reply)
    {
        using var client = _server.Connect();
        client.ReadLine();
        Assert.That(client.Ask(request), Is.EqualTo(reply));
    }

    [TestCase("{\"execute\":\"ping\"}", "{\"return\": {}}")]
    [TestCase("{'execute':'noop','arguments':{},'id':'a\"b'}", "{\"return\": {}, \"id\": \"a\\\"b\"}")]
    [TestCase("{\"execute\":\"ping\",\"id\":null}", "{\"return\": {}, \"id\": null}")]
    [TestCase("{\"execute\":\"ping\",\"id\":{\"a\":[1,1e400,\"é\"]}}", "{\"return\": {}, \"id\": {\"a\": [1, 1e400, \"\\u00E9\"]}}")]
    [TestCase("{\"execute\":\"refuse\",\"id\":[]}", "{\"id\": [], \"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"no '\\u00E9'\"}}")]
    [TestCase("{\"execute\":\"qmp_capabilities\"}", "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"Capabilities negotiation is already complete, command ignored\"}}")]
    [TestCase("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"x\":1}}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Parameter 'x' is unexpected\"}}")]
    [TestCase("{\"execute\":\"nosuch\\u00e9\\\"\",\"id\":7}", "{\"id\": 7, \"error\": {\"class\": \"CommandNotFound\", \"desc\": \"The command nosuch\\u00E9\\\" has not been found\"}}")]
    [TestCase("{\"execute\":\"ping\",\"arguments\":{\"a\":1}}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Parameter 'a' is unexpected\"}}")]
    [TestCase("{\"execute\":\"ping\",\"arguments\":null}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP input member 'arguments' must be an object\"}}")]
    [TestCase("{\"execute\":1}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP input member 'execute' must be a string\"}}")]
    [TestCase("{\"execute\":\"ping\",\"x\":1}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP input member 'x' is unexpected\"}}")]
    [TestCase("{\"execute\":\"ping\",\"exec-oob\":\"ping\"}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP input member 'exec-oob' is unexpected\"}}")]
    [TestCase("[]", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP input must be a JSON object\"}}")]
    [TestCase("{}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP input lacks member 'execute'\"}}")]
    [TestCase("%", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error, stray '%'\"}}")]
    [TestCase("{\"execute\":\"echo\",\"arguments\":{\"value\":\"<&'\\\"\\u007fé😀\\n\\\\>\"}}", "{\"return\": \"<&'\\\"\\u007F\\u00E9\\uD83D\\uDE00\\n\\\\>\"}")]
    [TestCase("{\"execute\":\"echo\",\"arguments\":{\"value\":[{}, 1e400]}, \"id\":\"x\"}", "{\"return\": [{}, 1e400], \"id\": \"x\"}")]
    public void A_request_gets_its_reply(string request, string reply)
    {
        using var client = _server.ConnectNegotiated();
        Assert.That(client.Ask(request), Is.EqualTo(reply));
        Assert.That(client.Ask("\n{\"execute\":\"ping\"}"), Is.EqualTo("{\"return\": {}}"));
    }

    [Test]
    public void Glued_values_are_answered_in_order()
    {
        using var client = _server.ConnectNegotiated();
        client.Send(string.Concat(Enumerable.Range(0, 1000).Select(i => $"{{\"execute\":\"{(i % 2 == 0 ? "ping" : "noop")}\",\"id\":{i}}}")));
        for (int i = 0; i < 1000; i++)
        {
            Assert.That(client.ReadLine(), Is.EqualTo($"{{\"return\": {{}}, \"id\": {i}}}"));
        }
    }

    [Test]
    public void Every_split_of_a_transcript_gives_the_same_replies()
    {
        byte[] transcript = Encoding.UTF8.GetBytes(
            "{\"execute\":\"ping\"}{\"execute\":\"qmp_capabilities\"} {'execute':'echo','arguments':{'value':\"\\u00e9é\"},'id':-1.5e3}\r\n"
            + "}{\"execute\":nul} {\"execute\" 1}[]{\"execute\":\"refuse\"}");
        string whole = Converse(transcript, transcript.Length);
        Assert.That(whole.Count(c => c == '\n'), Is.EqualTo(9));
        for (int split = 0; split < transcript.Length; split++)
        {
            Assert.That(Converse(transcript, split), Is.EqualTo(whole), $"split at {split}");
        }
    }

    [Test]
    public void Random_bytes_never_kill_the_server([Range(1, 4)] int seed)
    {
        var random = new Random(seed);
        const string Seedling = "{\"execute\":\"echo\",\"arguments\":{\"value\":[1,\"x\",{\"a\":null}]},\"id\":7}";
        for (int round = 0; round < 250; round++)
        {
            byte[] text = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(Seedling, 4)));
            for (int i = random.Next(1, 12); i > 0; i--)
            {
                text[random.Next(text.Length)] = random.Next(3) == 0 ? (byte)random.Next(256) : (byte)"{}[]:,\"'\\1e-tfn"[random.Next(15)];
            }

            byte[] whole = [.. Encoding.ASCII.GetBytes("{\"execute\":\"qmp_capabilities\"}"), .. text];
            string replies = Converse(whole, whole.Length);
            Assert.That(Converse(whole, random.Next(whole.Length)), Is.EqualTo(replies), $"seed {seed} round {round}: {Convert.ToHexString(text)}");
            Assert.That(replies, Does.EndWith("\r\n"));
        }
    }

    [Test]
    public void Out_of_band_commands_overtake_a_command_that_waits()
    {
        using var client = _server.ConnectNegotiated(oob: true);
        client.Send("{\"execute\":\"wait\",\"id\":1}{\"execute\":\"ping\",\"id\":2}{\"exec-oob\":\"ping\",\"id\":3}");
        Assert.That(client.ReadLine(), Is.EqualTo("{\"return\": {}, \"id\": 3}"));
        _server.Waiters.Release();
        Assert.That(client.ReadLine(), Is.EqualTo("{\"return\": {}, \"id\": 1}"));
        Assert.That(client.ReadLine(), Is.EqualTo("{\"return\": {}, \"id\": 2}"));
    }

    [TestCase("{\"exec-oob\":\"noop\"}", "The command noop does not support OOB")]
    [TestCase("{\"exec-oob\":\"qmp_capabilities\"}", "The command qmp_capabilities does not support OOB")]
    [TestCase("{\"exec-oob\":1}", "QMP input member 'exec-oob' must be a string")]
    [TestCase("{\"exec-oob\":\"ping\",\"execute\":\"ping\"}", "QMP input member 'execute' clashes with 'exec-oob'")]
    [TestCase("{\"exec-oob\":\"ping\",\"x\":1}", "QMP input member 'x' is unexpected")]
    public void A_wrong_out_of_band_request_is_refused(string request, string error)
    {
        using var client = _server.ConnectNegotiated(oob: true);
        Assert.That(client.Ask(request), Is.EqualTo($"{{\"error\": {{\"class\": \"GenericError\", \"desc\": \"{error}\"}}}}"));
    }

    [Test]
    public void Behind_a_waiting_command_eight_requests_queue_and_then_the_socket_is_not_read()
    {
        using var client = _server.ConnectNegotiated(oob: true);
        client.Send("{\"execute\":\"wait\",\"id\":0}" + string.Concat(Enumerable.Range(1, 8).Select(i => $"{{\"execute\":\"wait\",\"id\":{i}}}")));
        Assert.That(client.Ask("{\"exec-oob\":\"ping\",\"id\":\"a\"}"), Is.EqualTo("{\"return\": {}, \"id\": \"a\"}"));
        client.Send("{\"execute\":\"ping\",\"id\":9}{\"exec-oob\":\"ping\",\"id\":\"b\"}");
        _server.Waiters.Release();
        Assert.That(client.ReadLine(), Is.EqualTo("{\"return\": {}, \"id\": 0}"));
        Assert.That(client.ReadLine(), Is.EqualTo("{\"return\": {}, \"id\": \"b\"}"));
        _server.Waiters.Release(8);
        for (int i = 1; i <= 9; i++)
        {
            Assert.That(client.ReadLine(), Is.EqualTo($"{{\"return\": {{}}, \"id\": {i}}}"));
        }
    }

    [Test]
    public void A_parse_error_behind_a_waiting_command_waits_its_turn()
    {
        using var client = _server.ConnectNegotiated();
        client.Send("{\"execute\":\"wait\"}}{\"execute\":\"ping\"}");
        _server.Waiters.Release();
        Assert.That(client.ReadLine(), Is.EqualTo("{\"return\": {}}"));
        Assert.That(client.ReadLine(), Does.Contain("expecting value"));
        Assert.That(client.ReadLine(), Is.EqualTo("{\"return\": {}}"));
    }

    [Test]
    public void Sessions_do_not_wait_for_each_other()
    {
        using var first = _server.ConnectNegotiated();
        using var second = _server.ConnectNegotiated();
        first.Send("{\"execute\":\"wait\"}");
        _server.Started.Wait();
        Assert.That(second.Ask("{\"execute\":\"noop\"}"), Is.EqualTo("{\"return\": {}}"));
        _server.Waiters.Release();
        Assert.That(first.ReadLine(), Is.EqualTo("{\"return\": {}}"));
    }

    [Test]
    public void A_bug_in_a_command_ends_its_session_and_no_other()
    {
        using var broken = _server.ConnectNegotiated();
        using var other = _server.ConnectNegotiated();
        Assert.That(broken.Ask("{\"execute\":\"break\",\"id\":1}{\"execute\":\"ping\"}"), Does.StartWith("{\"id\": 1, \"error\": {\"class\": \"GenericError\""));
        Assert.That(broken.ReadLine(), Is.EqualTo("EOF"));
        Assert.That(other.Ask("{\"execute\":\"noop\"}"), Is.EqualTo("{\"return\": {}}"));
    }

    [Test]
    public void A_client_that_has_said_all_gets_its_last_replies()
    {
        using var client = _server.ConnectNegotiated();
        client.Send("{\"execute\":\"wait\"}{\"execute\":\"ping\",\"id\":2}");
        client.EndSending();
        _server.Started.Wait();
        _server.Waiters.Release();
        Assert.That(client.ReadLine(), Is.EqualTo("{\"return\": {}}"));
        Assert.That(client.ReadLine(), Is.EqualTo("{\"return\": {}, \"id\": 2}"));
        Assert.That(client.ReadLine(), Is.EqualTo("EOF"));
    }

    [Test]
    public void Replies_larger_than_the_sockets_buffer_arrive_whole()
    {
        using var client = _server.ConnectNegotiated();
        client.Send(string.Concat(Enumerable.Repeat("{\"execute\":\"big\"}", 40)));
        for (int i = 0; i < 40; i++)
        {
            Assert.That(client.ReadLine(), Has.Length.EqualTo((1 << 20) + "{\"return\": \"\"}".Length));
        }
    }

    [Test]
    public void Stopping_sends_what_is_left_closes_and_removes_the_socket()
    {
        using var client = _server.ConnectNegotiated();
        Assert.That(client.Ask("{\"execute\":\"ping\"}"), Is.EqualTo("{\"return\": {}}"));
        _server.Events.Emit("LAST", new TextEvent("x"));
        _server.Server.StopAsync().Wait();
        Assert.That(client.ReadLine(), Does.Contain("LAST"));
        Assert.That(client.ReadLine(), Is.EqualTo("EOF"));
        Assert.That(File.Exists(_server.Path), Is.False);
        Assert.That(() => _server.Connect(), Throws.InstanceOf<SocketException>());
    }

    [Test]
    public void A_stale_socket_is_replaced_and_a_live_one_or_a_file_is_not()
    {
        string directory = Path.GetDirectoryName(_server.Path)!;
        string stale = Path.Combine(directory, "stale");
        using (var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            socket.Bind(new UnixDomainSocketEndPoint(stale));
        }

        File.WriteAllText(Path.Combine(directory, "file"), "data");
        _server.Listen(stale);
        using var client = new QmpTestClient(stale);
        Assert.That(client.ReadLine(), Is.EqualTo(QmpTestServer.Greeting));
        Assert.That(() => _server.Listen(_server.Path), Throws.Exception.Message.Contains("Address already in use"));
        Assert.That(() => _server.Listen(Path.Combine(directory, "file")), Throws.Exception.Message.Contains("Address already in use"));
        Assert.That(() => _server.Listen(Path.Combine(directory, new string('x', 108))), Throws.Exception.Message.Contains("too long"));
    }

    private string Converse(byte[] text, int split)
    {
        using var client = _server.Connect();
        client.Send(text.AsSpan(0, split));
        client.Send(text.AsSpan(split));
        client.EndSending();
        return Encoding.UTF8.GetString(client.ReadToEnd());
    }
}
