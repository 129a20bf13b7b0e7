using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>What a session says before, during and after negotiation, and how out-of-band commands are answered, beside QEMU's.</summary>
/// <remarks>Each case is all that a client sends, at once; replies are compared value for value and in order, up to the end of the connection.</remarks>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class NegotiationTests : IDisposable
{
    private const string Negotiate = """{"execute": "qmp_capabilities"}""";

    private const string NegotiateOutOfBand = """{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}""";

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [TestCase("""{"execute": "query-version"} {"execute": "query-version", "id": 1} {"execute": "no-such", "id": [2]}""", TestName = "a command before negotiation")]
    [TestCase("""{"exec-oob": "query-version", "id": 1} {"exec-oob": "qmp_capabilities"}""", TestName = "out of band before negotiation")]
    [TestCase("""{"execute": "qmp_capabilities", "arguments": {"enable": ["nope"]}} {"execute": "query-version"}""", TestName = "an unknown capability")]
    [TestCase("""{"execute": "qmp_capabilities", "arguments": {"enable": "oob"}} {"execute": "qmp_capabilities", "arguments": {"x": 1}} {"execute": "qmp_capabilities", "arguments": {"enable": [1]}}""", TestName = "wrong arguments")]
    [TestCase("""{"execute": "qmp_capabilities", "arguments": {"enable": []}, "id": null} {"execute": "query-name", "id": {"a": [1, "b", null, true, 1.5]}}""", TestName = "no capability, ids of other types")]
    [TestCase("""{"execute": "qmp_capabilities", "arguments": {"enable": ["oob", "oob"]}, "id": "x"} {"exec-oob": "no-such", "id": "y"}""", TestName = "a capability twice")]
    [TestCase("[] 1 \"x\" null {} {\"id\": 1} {\"execute\": 1, \"id\": 2} {\"execute\": \"qmp_capabilities\", \"x\": 1, \"id\": 3}", TestName = "what is no request")]
    [TestCase(Negotiate + Negotiate + NegotiateOutOfBand + """{"execute": "query-name", "id": 1}""", TestName = "negotiation once more")]
    [TestCase(Negotiate + """{"exec-oob": "query-name", "id": 1} {"exec-oob": "migrate-pause"} {"exec-oob": "qmp_capabilities"} {"execute": "query-name", "exec-oob": "query-name"}""", TestName = "out of band that was not enabled")]
    [TestCase(NegotiateOutOfBand + """{"exec-oob": "query-name", "id": 1} {"exec-oob": "query-name"} {"exec-oob": "no-such", "id": 2} {"exec-oob": "qmp_capabilities", "id": 3} {"exec-oob": 7, "id": 4} {"exec-oob": "query-name", "arguments": [], "id": 5}""", TestName = "out of band that is refused")]
    [TestCase(NegotiateOutOfBand + """{"exec-oob": "query-name", "execute": "query-name", "id": 1} {"execute": "query-name", "exec-oob": "query-name", "id": 2} {"execute": "query-name", "id": 3}""", TestName = "both forms at once")]
    [TestCase(NegotiateOutOfBand + """{"execute": "query-name", "id": 1} {"execute": "query-name", "arguments": 7, "id": 2} {"execute": "query-name", "arguments": {"x": 7}, "id": 3}""", TestName = "in band beside it")]
    [TestCase(Negotiate + """{"execute": "query-name", "id": 1}{"execute": {"execute": "query-name", "id": 2} } {"execute": "query-name" "id": 3} {"execute": "query-name", "id": 4}""", TestName = "errors of syntax between requests")]
    public async Task Both_say_the_same(string text)
    {
        string theirs = await ConverseAsync("qemu-system-x86_64", text, "-nodefaults", "-display", "none", "-machine", "none");
        string ours = await ConverseAsync(Repository.Daemon, text);
        Assert.That(ours, Is.EqualTo(theirs));
    }

    /// <summary>Sends the text, then reads as many lines as the last request's reply is away, and gives them back in one form.</summary>
    [Test]
    public void A_client_that_is_there_first_sees_all_that_the_options_make()
    {
        string nodes = string.Join(' ', Enumerable.Range(0, 40).Select(i => $"--blockdev null-co,node-name=n{i}"));
        string requests = """{"execute": "qmp_capabilities"} {"execute": "query-named-block-nodes"} {"execute": "quit"}""";
        string start = $"echo '{requests}' | {Repository.Daemon} --chardev stdio,id=c --monitor c {nodes}";
        string replies = Tool.Run("bash", "-c", $"{start} --export nbd,id=e,node-name=n39 --nbd-server addr.type=unix,addr.path=/dev/null/x 2>&1 || true");
        Assert.That(replies, Does.Not.Contain("QMP"), "the start failed after the monitor was named");
        replies = Tool.Run("bash", "-c", $"{start} 2>/dev/null");
        Assert.That(replies, Does.Contain("\"n0\"").And.Contain("\"n39\""));
    }

    private async Task<string> ConverseAsync(string program, string text, params string[] arguments)
    {
        await using DaemonProcess daemon = DaemonProcess.Start(program, _directory, arguments);
        using Socket socket = await daemon.ConnectSocketAsync(daemon.QmpPath);
        using var reader = new StreamReader(new NetworkStream(socket), Encoding.UTF8);
        await reader.ReadLineAsync();
        await socket.SendAsync(Encoding.UTF8.GetBytes(text + """{"execute": "marker", "id": "the end"}"""));
        var said = new StringBuilder();
        string? line;
        do
        {
            line = await reader.ReadLineAsync();
            said.AppendLine(InOrder(JsonNode.Parse(line!))!.ToJsonString());
        }
        while (line?.Contains("the end", StringComparison.Ordinal) == false);
        return said.ToString();
    }

    private static JsonNode? InOrder(JsonNode? node) => node switch
    {
        JsonObject members => new JsonObject(members.OrderBy(member => member.Key, StringComparer.Ordinal).Select(member => KeyValuePair.Create(member.Key, InOrder(member.Value)))),
        JsonArray items => new JsonArray([.. items.Select(InOrder)]),
        _ => node?.DeepClone(),
    };
}
