using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Every command's arguments, refused: members missing, of a wrong kind, out of range or too many, beside the real daemons.</summary>
public sealed class ArgumentTests
{
    private static readonly string[] s_machine = ["-machine", "none", "-nodefaults", "-display", "none"];

    /// <summary>Its members are properties of the device, which the emulator reads by hand; drives.txt shows what it refuses.</summary>
    private const string DeviceCommand = "device_add";

    /// <summary>How many requests are sent before their replies are read.</summary>
    private const int BatchSize = 50;

    [Test]
    public Task The_storage_daemon_refuses_the_same_arguments_in_the_same_words() => CompareAsync([], "qemu-storage-daemon");

    [Test]
    public async Task The_emulator_refuses_the_same_arguments_in_the_same_words_for_what_the_storage_daemon_lacks() =>
        await CompareAsync([.. await CommandsAsync("qemu-storage-daemon"), DeviceCommand], "qemu-system-x86_64", s_machine);

    [Test]
    public async Task Commands_that_no_real_daemon_knows_refuse_arguments_likewise()
    {
        using var directory = new TemporaryDirectory();
        await using DaemonProcess ours = DaemonProcess.Start(directory);
        using QmpTestClient client = await ours.ConnectAsync();
        JsonNode schema = await client.ExecuteAsync("query-qmp-schema");
        IEnumerable<string> known = await KnownCommandsAsync();
        foreach (string request in ArgumentCases.For(schema, schema, known))
        {
            JsonObject reply = await client.SendRawAsync(request);
            Assert.That((string?)reply["error"]?["desc"], Does.StartWith("Parameter '").Or.StartWith("Invalid parameter type for '"), $"{request} → {reply}");
        }
    }

    /// <summary>The commands that the storage daemon or the emulator has.</summary>
    internal static async Task<IEnumerable<string>> KnownCommandsAsync() =>
        [.. await CommandsAsync("qemu-storage-daemon"), .. await CommandsAsync("qemu-system-x86_64", s_machine)];

    private static async Task CompareAsync(IEnumerable<string> leftOut, string oracle, params string[] arguments)
    {
        using var directory = new TemporaryDirectory();
        await using DaemonProcess ours = DaemonProcess.Start(directory);
        await using DaemonProcess theirs = DaemonProcess.Start(oracle, directory, arguments);
        using QmpTestClient client = await ours.ConnectAsync();
        using QmpTestClient theirClient = await theirs.ConnectAsync();
        JsonNode ourSchema = await client.ExecuteAsync("query-qmp-schema");
        IReadOnlyList<string> requests = ArgumentCases.For(ourSchema, await theirClient.ExecuteAsync("query-qmp-schema"), leftOut);
        var differences = new List<string>();
        foreach (string[] batch in requests.Chunk(BatchSize))
        {
            Task<List<JsonObject>> theirReplies = AskAsync(theirClient, batch);
            List<JsonObject> ourReplies = await AskAsync(client, batch);
            foreach ((string request, JsonObject their, JsonObject our) in batch.Zip(await theirReplies, ourReplies))
            {
                if (!JsonNode.DeepEquals(their, our) || our["error"] is null)
                {
                    differences.Add($"request {request}\n  theirs {their.ToJsonString()}\n  ours   {our.ToJsonString()}");
                }
            }
        }

        TestContext.Out.WriteLine($"{requests.Count} requests, {differences.Count} differences");
        Assert.That(string.Join('\n', differences), Is.Empty);
        Assert.That(requests, Has.Count.GreaterThan(50));
    }

    private static async Task<List<JsonObject>> AskAsync(QmpTestClient client, string[] requests)
    {
        await client.PostAsync(string.Join('\n', requests) + "\n");
        var replies = new List<JsonObject>();
        while (replies.Count < requests.Length)
        {
            replies.Add(await client.NextReplyAsync());
        }

        return replies;
    }

    private static async Task<IEnumerable<string>> CommandsAsync(string program, params string[] arguments)
    {
        using var directory = new TemporaryDirectory();
        await using DaemonProcess daemon = DaemonProcess.Start(program, directory, arguments);
        using QmpTestClient client = await daemon.ConnectAsync();
        return [.. (await client.ExecuteAsync("query-commands")).AsArray().Select(command => (string)command!["name"]!)];
    }
}
