using System.Text;
using System.Text.Json.Nodes;
using Monitor.Qapi;
using NUnit.Framework;
using Unit.Daemon;

namespace Unit.Qapi;

public sealed class SchemaDocsTests
{
    [Test]
    public void Every_command_explains_itself_on_one_line()
    {
        using var daemon = new InProcessDaemon();
        InProcessClient client = daemon.Connect();
        string reply = client.Ask("{\"execute\":\"x-query-schema-docs\"}");
        Assert.That(reply.TrimEnd(), Does.Not.Contain("\n").And.Length.LessThan(256 * 1024));
        string[] explained = [.. Names(reply)];
        Assert.That(Names(client.Ask("{\"execute\":\"query-commands\"}")), Is.SubsetOf(explained));
        Assert.That(explained, Does.Contain("JOB_STATUS_CHANGE"));
    }

    [Test]
    public void One_entry_can_be_asked_for_and_each_type_it_names()
    {
        using var daemon = new InProcessDaemon();
        InProcessClient client = daemon.Connect();
        JsonNode command = JsonNode.Parse(client.Ask("{\"execute\":\"x-query-schema-docs\",\"arguments\":{\"name\":\"blockdev-mirror\"}}"))!["return"]![0]!;
        JsonNode sync = command["members"]!.AsArray().Single(member => (string?)member!["name"] == "sync")!;
        Assert.That((string?)sync["doc"], Is.Not.Empty);
        Assert.That(client.Ask($"{{\"execute\":\"x-query-schema-docs\",\"arguments\":{{\"name\":\"{sync["type"]}\"}}}}"), Does.Contain("incremental"));
        Assert.That(client.Ask("{\"execute\":\"x-query-schema-docs\",\"arguments\":{\"name\":\"nosuch\"}}"), Does.Contain("The schema has no entry 'nosuch'"));
    }

    [Test]
    public void Every_type_that_is_named_is_explained_too()
    {
        foreach (string name in QapiDocs.Names)
        {
            foreach (JsonNode? member in JsonNode.Parse(QapiDocs.Find(name))!["members"]?.AsArray() ?? [])
            {
                string type = ((string)member!["type"]!).Trim('[', ']');
                bool isBuiltin = !char.IsAsciiLetterUpper(type[0]);
                Assert.That(isBuiltin || !QapiDocs.Find(type).IsEmpty, Is.True, $"{name}.{member["name"]}: {type}");
            }
        }
    }

    private static IEnumerable<string> Names(string reply) =>
        JsonNode.Parse(Encoding.UTF8.GetBytes(reply))!["return"]!.AsArray().Select(entry => (string)entry!["name"]!);
}
