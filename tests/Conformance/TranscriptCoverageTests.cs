using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>The transcripts together show every command: answered, and refused for a reason of its own.</summary>
/// <remarks>Refusals of arguments are <see cref="ArgumentTests"/>' affair and do not count.</remarks>
public sealed class TranscriptCoverageTests
{
    /// <summary>Their answers are the daemon's own, so no transcript can hold them.</summary>
    private static readonly string[] s_ownAnswers =
    [
        "qmp_capabilities", "query-version", "query-commands", "query-qmp-schema", "query-chardev-backends", "query-kvm", "query-machines",
        "query-migrate-capabilities", "device-list-properties",
    ];

    /// <summary>It serves a driver that neither daemon has built in.</summary>
    private const string QuorumCommand = "x-blockdev-change";

    /// <summary>They refuse nothing but arguments: whatever they are asked for, a list or a text is the answer.</summary>
    private static readonly string[] s_neverRefuse = ["qom-list-types", "query-blockstats", "query-named-block-nodes", "human-monitor-command"];

    [Test]
    public async Task Every_command_is_answered_and_refused_in_some_transcript()
    {
        HashSet<string> answered = [];
        HashSet<string> refused = [];
        foreach (string name in TranscriptTests.Transcripts())
        {
            foreach ((string request, string reply) in await TranscriptTests.ReplayOursAsync(name))
            {
                Note(request, JsonNode.Parse(reply)!, answered, refused);
            }
        }

        using var directory = new TemporaryDirectory();
        await using DaemonProcess daemon = DaemonProcess.Start(directory);
        using QmpTestClient client = await daemon.ConnectAsync();
        List<JsonNode> commands = [.. (await client.ExecuteAsync("query-qmp-schema")).AsArray().Select(entry => entry!)
            .Where(entry => (string?)entry["meta-type"] == "command")];
        HashSet<string> known = [.. await ArgumentTests.KnownCommandsAsync()];
        IEnumerable<string> all = commands.Select(command => (string)command["name"]!).Where(known.Contains);
        IEnumerable<string> withArguments = commands.Where(command => (string?)command["arg-type"] != "0").Select(command => (string)command["name"]!);
        var gaps = all.Except(answered).Except(s_ownAnswers).Except([QuorumCommand]).Select(name => $"never answered: {name}")
            .Concat(withArguments.Where(known.Contains).Except(refused).Except(s_neverRefuse).Select(name => $"never refused: {name}"));
        Assert.That(string.Join('\n', gaps), Is.Empty);
    }

    private static void Note(string request, JsonNode reply, HashSet<string> answered, HashSet<string> refused)
    {
        if (Command(request) is not { } command)
        {
            return;
        }

        string? error = (string?)reply["error"]?["desc"];
        if (error is null)
        {
            answered.Add(command);
        }
        else if (!error.StartsWith("Parameter '", StringComparison.Ordinal) && !error.StartsWith("Invalid parameter type", StringComparison.Ordinal))
        {
            refused.Add(command);
        }
    }

    /// <summary>The command of a line that is plain JSON.</summary>
    internal static string? Command(string request)
    {
        try
        {
            return JsonNode.Parse(request) is JsonObject message && message["execute"] is JsonValue name && name.TryGetValue(out string? command) ? command : null;
        }
        catch (System.Text.Json.JsonException)
        {
            return null;
        }
    }
}
