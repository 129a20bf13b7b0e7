using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Replays the same requests against our daemon and the real one and demands the same replies, value for value.</summary>
/// <remarks>
/// A transcript is a file of lines: a request as it goes over the wire (<c>$DIR</c> is the run's own directory), <c>//</c> and a
/// comment, <c>&gt; STATUS</c> to wait until some job reaches a status, <c>! COMMAND</c> to run a tool first, or <c>^ MODE PATH</c> to send
/// an open file with the next request (<c>r</c>, <c>w</c>, <c>rw</c>, a bound <c>socket</c>, a <c>connected</c> one, the <c>client</c> of a server). The first line may name
/// the program that answers for QEMU, when the storage daemon lacks the commands: <c># oracle PROGRAM ARGUMENTS</c>. Behind it
/// <c># before COMMAND</c> is run before the daemons start, and <c># with ARGUMENTS</c> is given to both.
/// </remarks>
public sealed partial class TranscriptTests
{
    private const string DefaultOracle = "qemu-storage-daemon";
    private const string OracleMark = "# oracle ";
    private const string BeforeMark = "# before ";
    private const string WithMark = "# with ";

    private static readonly ConcurrentDictionary<string, Task<List<(string Request, string Reply)>>> s_ours = [];

    public static IEnumerable<string> Transcripts() =>
        Directory.EnumerateFiles(Path.Combine(Repository.Root, "tests", "Conformance", "Transcripts"), "*.txt").Select(f => Path.GetFileName(f)).Order();

    [TestCaseSource(nameof(Transcripts))]
    public async Task Both_daemons_give_the_same_replies(string name)
    {
        string[] lines = await LinesAsync(name);
        string[] oracle = lines[0].StartsWith(OracleMark, StringComparison.Ordinal) ? lines[0][OracleMark.Length..].Split(' ') : [DefaultOracle];
        List<(string Request, string Reply)> theirs = await ReplayAsync(oracle[0], lines, oracle[1..]);
        List<(string Request, string Reply)> ours = await ReplayOursAsync(name);

        IEnumerable<string> differences =
            from pair in theirs.Zip(ours)
            where !JsonNode.DeepEquals(JsonNode.Parse(pair.First.Reply), JsonNode.Parse(pair.Second.Reply))
            select $"request {pair.First.Request}\n  theirs {pair.First.Reply}\n  ours   {pair.Second.Reply}";
        Assert.That(string.Join('\n', differences), Is.Empty);
        Assert.That(ours, Has.Count.EqualTo(theirs.Count).And.Count.GreaterThan(0));
    }

    /// <summary>What our daemon answers to a transcript; replayed once for all tests.</summary>
    internal static Task<List<(string Request, string Reply)>> ReplayOursAsync(string name, params string[] options) =>
        s_ours.GetOrAdd($"{name} {string.Join(' ', options)}", async _ => await ReplayAsync(Repository.Daemon, await LinesAsync(name), options));

    private static Task<string[]> LinesAsync(string name) =>
        File.ReadAllLinesAsync(Path.Combine(Repository.Root, "tests", "Conformance", "Transcripts", name));

    private static async Task<List<(string Request, string Reply)>> ReplayAsync(string program, string[] lines, params string[] arguments)
    {
        using var directory = new TemporaryDirectory();
        lines = [.. lines.Select(line => line.Replace("$DIR", directory.Path, StringComparison.Ordinal))];
        foreach (string line in lines.Where(line => line.StartsWith(BeforeMark, StringComparison.Ordinal)))
        {
            Tool.Run("bash", "-ec", line[BeforeMark.Length..]);
        }

        IEnumerable<string> common = lines.Where(line => line.StartsWith(WithMark, StringComparison.Ordinal)).SelectMany(line => line[WithMark.Length..].Split(' '));
        await using DaemonProcess daemon = DaemonProcess.Start(program, directory, [.. arguments, .. common]);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        using var openFiles = new OpenFiles();
        var exchanges = new List<(string, string)>();
        foreach (string text in lines)
        {
            if (text.StartsWith("> ", StringComparison.Ordinal))
            {
                await qmp.WaitEventAsync("JOB_STATUS_CHANGE", data => (string?)data["status"] == text[2..]);
            }
            else if (text.StartsWith("! ", StringComparison.Ordinal))
            {
                Tool.Run("bash", "-ec", text[2..]);
            }
            else if (text.StartsWith("^ ", StringComparison.Ordinal))
            {
                string[] words = text.Split(' ');
                openFiles.Open(words[1], words[2]);
            }
            else if (text.Length > 0 && !text.StartsWith("//", StringComparison.Ordinal) && text[0] != '#')
            {
                JsonObject reply = await qmp.SendRawAsync(text + "\r\n", openFiles.TakeNew());
                exchanges.Add((text, WithoutChance(reply.ToJsonString().Replace(directory.Path, "$DIR", StringComparison.Ordinal))));
            }
        }

        return exchanges;
    }

    /// <summary>Generated names hold a random number, descriptors have any, the space a file takes is the file system's affair, and time goes on.</summary>
    private static string WithoutChance(string reply)
    {
        string named = MonitorSocket().Replace(GeneratedName().Replace(reply, "#block"), "qmp-");
        string opened = Descriptor().Replace(named, "\"fd\":0");
        string timeless = SnapshotLine().Replace(SnapshotTime().Replace(opened, "\"$1\":0"), "DATE TIME");
        return ActualSize().Replace(DiskSize().Replace(timeless, "disk size: 0"), "\"actual-size\":0");
    }

    [GeneratedRegex(@"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ?\d+:\d\d:\d\d\.\d{3}")]
    private static partial Regex SnapshotLine();

    [GeneratedRegex(@"disk size: [^\\]*")]
    private static partial Regex DiskSize();

    [GeneratedRegex("qmp-[a-z0-9.]+")]
    private static partial Regex MonitorSocket();

    [GeneratedRegex("\"fd\":[0-9]+")]
    private static partial Regex Descriptor();

    [GeneratedRegex("#block[0-9]+")]
    private static partial Regex GeneratedName();

    [GeneratedRegex("\"((date|vm-clock)-n?sec)\":[0-9]+")]
    private static partial Regex SnapshotTime();

    [GeneratedRegex("\"actual-size\":[0-9]+")]
    private static partial Regex ActualSize();
}
