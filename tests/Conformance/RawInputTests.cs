using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Bytes that are no proper JSON, sent to both daemons: the same replies, and both find sense again at the same byte.</summary>
/// <remarks>Each input is followed by 0xFF, which ends whatever was begun (QMP specification, "QGA Synchronization"), and by a request
/// whose reply tells where the input's replies end.</remarks>
public sealed class RawInputTests
{
    private const int BatchSize = 20;

    private static readonly JsonDocumentOptions s_deep = new() { MaxDepth = 2048 };

    private static readonly JsonSerializerOptions s_deepText = new() { MaxDepth = 2048 };

    private static readonly string[] s_seeds =
    [
        "{\"execute\": \"query-jobs\", \"id\": 1}",
        "{'execute': 'query-jobs', 'id': {'a': [1, -2.5e3, null, true, \"\\u00e9\\n\"]}}",
        "{\"execute\":\"job-pause\",\"arguments\":{\"id\":\"no\\\"ne\"}}",
        "{\"execute\": \"blockdev-add\", \"arguments\": {\"driver\": \"null-co\", \"size\": 18446744073709551615, \"x\": [[], {}]}}",
        "[1, 2, {\"a\": \"b\"}] \"text\" 12 {\"execute\": 7}",
    ];

    /// <summary>Corner cases; bytes above 0x7F stand for themselves (Latin-1).</summary>
    private static readonly string[] s_cases =
    [
        "{\"execute\": \"query-jobs\", \"id\": \"\xC3\xA9\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\xE9\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\xC0\x80\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\xC0\xAF\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\xED\xA0\x80\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\xF4\x90\x80\x80\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\xEF\xBF\xBE\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\xEF\xBB\xBF\"}",
        "\xEF\xBB\xBF{\"execute\": \"query-jobs\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"a\0b\"}",
        "{\"execute\": \"query-jobs\"\0}",
        "\0{\"execute\": \"query-jobs\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\\u0000\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\\ud83d\\ude00\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\\ud83d\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\\ud83dx\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\\ude00\\ud83d\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\\uFFFE\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\\uFDD0\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\\u12\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\\x41\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\\'\"}",
        "{\"execute\": \"query-jobs\", \"id\": '\"'}",
        "{\"execute\": \"query-jobs\", \"id\": \"tab\there\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"line\nbreak\"}",
        "{\"execute\": \"query-jobs\", \"id\": \"\x7F\"}",
        "{\"execute\": \"query-jobs\", \"id\": 9223372036854775807}",
        "{\"execute\": \"query-jobs\", \"id\": 9223372036854775808}",
        "{\"execute\": \"query-jobs\", \"id\": -9223372036854775808}",
        "{\"execute\": \"query-jobs\", \"id\": 18446744073709551615}",
        "{\"execute\": \"query-jobs\", \"id\": -0}",
        "{\"execute\": \"query-jobs\", \"id\": 01}",
        "{\"execute\": \"query-jobs\", \"id\": 1.}",
        "{\"execute\": \"query-jobs\", \"id\": .5}",
        "{\"execute\": \"query-jobs\", \"id\": +1}",
        "{\"execute\": \"query-jobs\", \"id\": 1e}",
        "{\"execute\": \"query-jobs\", \"id\": 0x10}",
        "{\"execute\": \"query-jobs\", \"id\": NaN}",
        "{\"execute\": \"query-jobs\", \"id\": Infinity}",
        "{\"execute\": \"query-jobs\", \"id\": True}",
        "{\"execute\": \"query-jobs\", \"id\": nulll}",
        "{\"execute\": \"query-jobs\", \"execute\": \"query-jobs\"}",
        "{\"execute\": \"query-jobs\", \"id\": {\"a\": 1, \"a\": 2}}",
        "{\"execute\": \"query-jobs\", \"id\": 1, \"id\": 2}",
        "{\"execute\": \"query-jobs\",}",
        "{\"execute\": \"query-jobs\", \"id\": [1,]}",
        "{\"execute\": \"query-jobs\", \"id\": [,1]}",
        "{\"execute\": \"query-jobs\", \"id\": [1 2]}",
        "{\"execute\" \"query-jobs\"}",
        "{execute: \"query-jobs\"}",
        "{1: 2}",
        "{[]: 2}",
        "{\"execute\": \"query-jobs\"}{\"execute\": \"query-jobs\"}",
        "{\"execute\": \"query-jobs\"} ] } {\"execute\": \"query-jobs\"}",
        "// comment\n{\"execute\": \"query-jobs\"}",
        "\xFE{\"execute\": \"query-jobs\"}",
        "{\"execute\": \"query-jobs\"\xFF",
        "%s %d %p {\"execute\": %s}",
        "{\"execute\": \"block-job-set-speed\", \"arguments\": {\"device\": \"d\", \"speed\": 1e400}}",
        "{\"execute\": \"block-job-set-speed\", \"arguments\": {\"device\": \"d\", \"speed\": 9223372036854775808}}",
        "{\"execute\": \"block-job-set-speed\", \"arguments\": {\"device\": \"d\", \"speed\": -0}}",
        "{\"execute\": \"block-job-set-speed\", \"arguments\": {\"device\": \"d\", \"speed\": 0.0}}",
        "{\"execute\": \"job-pause\", \"arguments\": {\"id\": \"a\\u0000b\"}}",
        "{\"execute\": \"query-j\\u006Fbs\"}",
        "{\"execute\": \"query-jobs\\u0000\"}",
        "{\"exec\\u0075te\": \"query-jobs\"}",
        "{\"execute\": \"x\xE9\"}",
        "{\"\xE9\": 1}",
        "{\"\\u00e9\": 1}",
    ];

    [Test]
    public async Task Corner_cases_get_the_same_replies() => await CompareAsync([.. s_cases.Select(Encoding.Latin1.GetBytes)]);

    [Test]
    public async Task Nesting_is_limited_alike([Values(1022, 1023, 1024, 1025, 3000)] int depth) => await CompareAsync(
    [
        Encoding.ASCII.GetBytes(new string('[', depth) + new string(']', depth)),
        Encoding.ASCII.GetBytes("{\"execute\": \"query-jobs\", \"id\": " + string.Concat(Enumerable.Repeat("{\"a\":", depth)) + "1" + new string('}', depth) + "}"),
        Encoding.ASCII.GetBytes(new string('{', depth)),
        Encoding.ASCII.GetBytes(new string('[', depth)),
    ]);

    [Test]
    public async Task Random_damage_gets_the_same_replies([Range(1, 4)] int seed)
    {
        var random = new Random(seed);
        await CompareAsync([.. Enumerable.Range(0, 400).Select(_ => DamagedBytes.Of(Encoding.ASCII.GetBytes(s_seeds[random.Next(s_seeds.Length)]), random))]);
    }

    private static async Task CompareAsync(byte[][] inputs)
    {
        Task<List<string>> theirs = ReplayAsync("qemu-storage-daemon", inputs);
        List<string> ours = await ReplayAsync(Repository.Daemon, inputs);
        IEnumerable<string> differences =
            from result in inputs.Zip(await theirs, ours)
            where result.Second != result.Third
            select $"input  {Encoding.Latin1.GetString(result.First)} ({Convert.ToHexString(result.First)})\n  theirs {result.Second}\n  ours   {result.Third}";
        Assert.That(string.Join('\n', differences), Is.Empty);
        Assert.That(ours, Has.Count.EqualTo(inputs.Length));
    }

    private static async Task<List<string>> ReplayAsync(string program, byte[][] inputs)
    {
        using var directory = new TemporaryDirectory();
        await using DaemonProcess daemon = DaemonProcess.Start(program, directory);
        using (await daemon.ConnectAsync())
        {
        }

        using Socket socket = await daemon.ConnectSocketAsync(daemon.QmpPath);
        using var reader = new StreamReader(new NetworkStream(socket), Encoding.Latin1);
        await reader.ReadLineAsync();
        await socket.SendAsync("{\"execute\": \"qmp_capabilities\"}\n"u8.ToArray());
        await reader.ReadLineAsync();
        var results = new List<string>();
        foreach (byte[][] batch in inputs.Chunk(BatchSize))
        {
            Task sent = SendAsync(socket, batch);
            foreach (byte[] _ in batch)
            {
                results.Add(await ReadToMarkAsync(reader));
            }

            await sent;
        }

        return results;
    }

    private static async Task SendAsync(Socket socket, byte[][] inputs)
    {
        foreach (byte[] input in inputs)
        {
            byte[] whole = [.. input, 0xFF, .. "\n{\"execute\": \"mark\"}\n"u8];
            await socket.SendAsync(whole);
        }
    }

    /// <summary>The replies up to the one to the mark, members in one order.</summary>
    private static async Task<string> ReadToMarkAsync(StreamReader reader)
    {
        var replies = new StringBuilder();
        while (await reader.ReadLineAsync() is { } line)
        {
            if (line.Contains("The command mark has not been found", StringComparison.Ordinal))
            {
                return replies.ToString();
            }

            replies.Append(Sorted(JsonNode.Parse(line, null, s_deep)!)?.ToJsonString(s_deepText)).Append(' ');
        }

        return $"{replies} and the connection ended";
    }

    /// <summary>Members in one order, numbers by value; which of several wrong members a request is refused for is left open.</summary>
    private static JsonNode? Sorted(JsonNode? node) => node switch
    {
        JsonObject dict => new JsonObject(dict.OrderBy(member => member.Key, StringComparer.Ordinal)
            .Select(member => KeyValuePair.Create(member.Key, Sorted(member.Value)))),
        JsonArray list => new JsonArray([.. list.Select(Sorted)]),
        JsonValue value when value.GetValueKind() == JsonValueKind.Number => value.TryGetValue(out long integer) ? integer : value.GetValue<double>() + 0.0,
        JsonValue value when value.TryGetValue(out string? text) && text.StartsWith("QMP input member ", StringComparison.Ordinal) => "QMP input member",
        _ => node?.DeepClone(),
    };
}
