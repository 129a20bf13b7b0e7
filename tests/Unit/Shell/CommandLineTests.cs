using System.Text.Json;
using System.Text.Json.Nodes;
using NUnit.Framework;
using QmpShell;

namespace Unit.Shell;

public sealed class CommandLineTests
{
    [TestCase("query-block", "{\"execute\":\"query-block\"}")]
    [TestCase("c a=1 b=true c=null d=x e=-1.5", "{\"execute\":\"c\",\"arguments\":{\"a\":1,\"b\":true,\"c\":null,\"d\":\"x\",\"e\":-1.5}}")]
    [TestCase("c file.driver=file file.filename=/a=b x.y.z=1", "{\"execute\":\"c\",\"arguments\":{\"file\":{\"driver\":\"file\",\"filename\":\"/a=b\"},\"x\":{\"y\":{\"z\":1}}}}")]
    [TestCase("c a={\"b\": [1, \"x y\"]} d=\"two words\" e='5'", "{\"execute\":\"c\",\"arguments\":{\"a\":{\"b\":[1,\"x y\"]},\"d\":\"two words\",\"e\":\"5\"}}")]
    [TestCase("c a={} a.b=1", "{\"execute\":\"c\",\"arguments\":{\"a\":{\"b\":1}}}")]
    [TestCase(" {\"execute\": \"x\", \"id\": 1}", "{\"execute\":\"x\",\"id\":1}")]
    public void A_line_becomes_a_request(string line, string json) =>
        Assert.That(CommandLine.ParseRequest(line).ToJsonString(), Is.EqualTo(json));

    [TestCase("c a", "expected 'key=value', got 'a'")]
    [TestCase("c =1", "expected 'key=value', got '=1'")]
    [TestCase("c a=1 a=2", "'a' is given twice")]
    [TestCase("c a=1 a.b=2", "'a.b' is given both a value and members")]
    [TestCase("c a=\"x", "a quote is not closed")]
    [TestCase("c a=[1", "a bracket is not closed")]
    [TestCase("{\"execute\"", "this is not a JSON object")]
    public void A_malformed_line_is_explained(string line, string error) =>
        Assert.That(() => CommandLine.ParseRequest(line), Throws.InstanceOf<FormatException>().With.Message.EqualTo(error));

    [TestCase("transaction( abort )")]
    [TestCase("transaction(|abort|)")]
    [TestCase("transaction( abort|)")]
    public void A_transaction_may_take_one_line_or_several(string lines)
    {
        var request = Build(lines);
        Assert.That(request!.ToJsonString(), Is.EqualTo("{\"execute\":\"transaction\",\"arguments\":{\"actions\":[{\"type\":\"abort\",\"data\":{}}]}}"));
    }

    [Test]
    public void A_transaction_keeps_its_actions_in_order()
    {
        var actions = Build("transaction(|b-disable node=n name=b0|b-add node=n name=b1 persistent=true|)")!["arguments"]!["actions"]!.AsArray();
        Assert.That(
            actions.ToJsonString(),
            Is.EqualTo("[{\"type\":\"b-disable\",\"data\":{\"node\":\"n\",\"name\":\"b0\"}},{\"type\":\"b-add\",\"data\":{\"node\":\"n\",\"name\":\"b1\",\"persistent\":true}}]"));
    }

    [Test]
    public void Completion_knows_commands_and_their_arguments()
    {
        const string Schema = """
            [{"name":"job-pause","meta-type":"command","arg-type":"1"},{"name":"job-cancel","meta-type":"command","arg-type":"1"},
             {"name":"1","meta-type":"object","members":[{"name":"id","type":"str"},{"name":"force","type":"bool"}]},{"name":"E","meta-type":"event"}]
            """;
        var completer = new CommandCompleter(JsonDocument.Parse(Schema).RootElement);
        Assert.That(completer.Complete("job-"), Is.EqualTo(new[] { "job-cancel", "job-pause" }));
        Assert.That(completer.Complete("job-p"), Is.EqualTo(new[] { "job-pause" }));
        Assert.That(completer.Complete("job-pause "), Is.EqualTo(new[] { "id=", "force=" }));
        Assert.That(completer.Complete("job-pause id=1 "), Is.EqualTo(new[] { "force=" }));
        Assert.That(completer.Complete("nosuch "), Is.Empty);
    }

    [TestCase("/run/x.sock", "/run/x.sock")]
    [TestCase("unix:a:1", "a:1")]
    [TestCase("localhost:4444", "Unspecified/localhost:4444")]
    [TestCase("tcp:[::1]:5", "Unspecified/::1:5")]
    public void An_address_is_a_path_or_host_and_port(string text, string endPoint) =>
        Assert.That(QmpAddress.Parse(text).EndPoint.ToString(), Is.EqualTo(endPoint));

    [Test]
    public void A_line_can_be_edited_and_recalled()
    {
        var line = new LineBuffer();
        Type(line, "ac", ConsoleKey.LeftArrow);
        Type(line, "b");
        Assert.That(line.Text, Is.EqualTo("abc"));
        Assert.That(line.BeforeCursor, Is.EqualTo("ab"));
        Type(line, "", ConsoleKey.Backspace, ConsoleKey.Home, ConsoleKey.Delete, ConsoleKey.Delete, ConsoleKey.Delete);
        Type(line, "one");
        Assert.That(line.Accept(), Is.EqualTo("one"));
        Type(line, "two");
        line.Accept();
        Type(line, "new", ConsoleKey.UpArrow, ConsoleKey.UpArrow, ConsoleKey.UpArrow);
        Assert.That(line.Text, Is.EqualTo("one"));
        Type(line, "", ConsoleKey.DownArrow, ConsoleKey.DownArrow, ConsoleKey.DownArrow);
        Assert.That(line.Text, Is.EqualTo("new"));
    }

    private static JsonObject? Build(string lines)
    {
        var builder = new TransactionBuilder();
        JsonObject? request = null;
        foreach (string line in lines.Split('|'))
        {
            Assert.That(request, Is.Null);
            Assert.That(builder.TryTake(line, out request), Is.True);
        }

        Assert.That(builder.IsOpen, Is.False);
        return request;
    }

    private static void Type(LineBuffer line, string text, params ConsoleKey[] keys)
    {
        foreach (char c in text)
        {
            line.Apply(new ConsoleKeyInfo(c, ConsoleKey.None, false, false, false));
        }

        foreach (var key in keys)
        {
            line.Apply(new ConsoleKeyInfo('\0', key, false, false, false));
        }
    }
}
