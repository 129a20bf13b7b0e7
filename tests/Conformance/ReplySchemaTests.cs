using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Every reply of the transcripts is what <c>query-qmp-schema</c> says it is, with and without newer members, and every error has a code.</summary>
public sealed class ReplySchemaTests
{
    private static readonly string[] s_newest = ["--compat", "11.1", "--error-codes"];

    [TestCaseSource(typeof(TranscriptTests), nameof(TranscriptTests.Transcripts))]
    public async Task Replies_fit_the_schema_of_7_2(string name) => await CheckAsync(name);

    [TestCaseSource(typeof(TranscriptTests), nameof(TranscriptTests.Transcripts))]
    public async Task Replies_with_newer_members_fit_the_newer_schema_and_errors_have_codes(string name)
    {
        string[] codes = [.. JsonNode.Parse(
                await File.ReadAllTextAsync(Path.Combine(Repository.Root, "schema", "error.json")),
                documentOptions: new() { CommentHandling = System.Text.Json.JsonCommentHandling.Skip })!
            .AsArray().Select(entry => (string)entry!["error"]!)];
        foreach (JsonNode error in await CheckAsync(name, s_newest))
        {
            Assert.That(codes, Does.Contain((string?)error["code"]), error.ToJsonString());
            Assert.That((string?)error["code"], Is.Not.EqualTo("internal"), error.ToJsonString());
        }
    }

    [Test]
    public async Task Newer_members_are_shown_only_when_asked_for()
    {
        Assert.That(await NodeAsync(), Does.Not.Contain("children").And.Not.Contain("active"));
        Assert.That(await NodeAsync(s_newest), Does.Contain("\"children\":[{\"child\":\"file\",\"node-name\":\"f\"}],\"active\":true"));
    }

    private static async Task<string> NodeAsync(params string[] options)
    {
        using var directory = new TemporaryDirectory();
        await File.WriteAllBytesAsync(directory.File("disk"), new byte[1 << 20]);
        await using DaemonProcess daemon = DaemonProcess.Start(directory, options);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await qmp.ExecuteAsync(
            "blockdev-add", $$"""{"driver": "raw", "node-name": "n", "file": {"driver": "file", "node-name": "f", "filename": "{{directory.File("disk")}}"} }""");
        return (await qmp.ExecuteAsync("query-named-block-nodes"))[0]!.ToJsonString();
    }

    /// <summary>Replays a transcript and returns its errors.</summary>
    private static async Task<List<JsonNode>> CheckAsync(string name, params string[] options)
    {
        var schema = new IntrospectedSchema(await SchemaAsync(options));
        var errors = new List<JsonNode>();
        foreach ((string request, string text) in await TranscriptTests.ReplayOursAsync(name, options))
        {
            JsonNode reply = JsonNode.Parse(text)!;
            if (reply["error"] is { } error)
            {
                errors.Add(error);
            }
            else if (TranscriptCoverageTests.Command(request) is { } command)
            {
                Assert.That(schema.FindMisfit(command, reply["return"]), Is.Null, $"{request} → {text}");
            }
        }

        return errors;
    }

    private static async Task<JsonNode> SchemaAsync(string[] options)
    {
        using var directory = new TemporaryDirectory();
        await using DaemonProcess daemon = DaemonProcess.Start(directory, options);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        return await qmp.ExecuteAsync("query-qmp-schema");
    }
}
