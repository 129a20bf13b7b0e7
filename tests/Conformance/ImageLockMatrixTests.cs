using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Who has an image open keeps the same others out, in the same words, whether each of the two is our daemon or QEMU's.</summary>
public sealed class ImageLockMatrixTests
{
    private const string Remove = """{"execute":"blockdev-del","arguments":{"node-name":"n"}}""";
    private const string Unexport = """{"execute":"block-export-del","arguments":{"id":"e"}}""";

    /// <summary>Ways to use one image: what is added, and what is removed afterwards. <c>$DIR/disk</c> is the image, <c>$DIR/top</c> stands on it.</summary>
    private static readonly (string Name, string[] Add, string[] End)[] s_users =
    [
        ("raw-writer", [Add("raw", """ "file":{"driver":"file","filename":"$DIR/disk"} """), Export(writable: true)], [Unexport, Remove]),
        ("raw-reader", [Add("raw", """ "read-only":true,"file":{"driver":"file","filename":"$DIR/disk"} """), Export(writable: false)], [Unexport, Remove]),
        ("idle-file", [Add("file", """ "filename":"$DIR/disk" """)], [Remove]),
        ("idle-read-only-file", [Add("file", """ "filename":"$DIR/disk","read-only":true """)], [Remove]),
        ("file-without-locks", [Add("file", """ "filename":"$DIR/disk","locking":"off" """), Export(writable: true)], [Unexport, Remove]),
        ("file-read-only-by-itself", [Add("file", """ "filename":"$DIR/disk","auto-read-only":true """), Export(writable: true)], [Unexport, Remove]),
        ("qcow2-writer", [Add("qcow2", """ "file":{"driver":"file","filename":"$DIR/disk"} """)], [Remove]),
        ("qcow2-reader", [Add("qcow2", """ "read-only":true,"file":{"driver":"file","filename":"$DIR/disk"} """)], [Remove]),
        ("qcow2-forced", [Add("qcow2", """ "read-only":true,"force-share":true,"file":{"driver":"file","filename":"$DIR/disk"} """), Export(writable: false)], [Unexport, Remove]),
        ("backing", [Add("qcow2", """ "file":{"driver":"file","filename":"$DIR/top"} """), Export(writable: true)], [Unexport, Remove]),
        ("throttled", [Add("throttle", """ "throttle-group":"g","file":{"driver":"qcow2","file":{"driver":"file","filename":"$DIR/disk"}} """)], [Remove]),
        ("becomes-writable",
            [
                Add("qcow2", """ "read-only":true,"file":{"driver":"file","node-name":"f","filename":"$DIR/disk"} """),
                """{"execute":"blockdev-reopen","arguments":{"options":[{"driver":"qcow2","node-name":"n","read-only":false,"file":"f"}]}}""",
            ], [Remove]),
        ("becomes-read-only",
            [
                Add("qcow2", """ "file":{"driver":"file","node-name":"f","filename":"$DIR/disk"} """),
                """{"execute":"blockdev-reopen","arguments":{"options":[{"driver":"qcow2","node-name":"n","read-only":true,"file":"f"}]}}""",
            ], [Remove]),
    ];

    private readonly List<DaemonProcess> _daemons = [];
    private readonly List<QmpTestClient> _clients = [];
    private TemporaryDirectory _directory = null!;

    private static IEnumerable<string> Names => s_users.Select(user => user.Name);

    [OneTimeSetUp]
    public async Task StartDaemons()
    {
        _directory = new TemporaryDirectory();
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", _directory.File("disk"), "1M");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", "-b", _directory.File("disk"), "-F", "qcow2", _directory.File("top"));
        foreach (string program in new[] { "qemu-storage-daemon", "qemu-storage-daemon", Repository.Daemon, Repository.Daemon })
        {
            string socket = _directory.File($"nbd{_daemons.Count}");
            _daemons.Add(DaemonProcess.Start(program, _directory, "--object", "throttle-group,id=g", "--nbd-server", $"addr.type=unix,addr.path={socket}"));
            _clients.Add(await _daemons[^1].ConnectAsync());
        }
    }

    [OneTimeTearDown]
    public async Task StopDaemons()
    {
        _clients.ForEach(client => client.Dispose());
        foreach (DaemonProcess daemon in _daemons)
        {
            await daemon.DisposeAsync();
        }

        _directory.Dispose();
    }

    [Test]
    public async Task The_second_user_is_told_the_same_by_and_beside_either_program([ValueSource(nameof(Names))] string first, [ValueSource(nameof(Names))] string second)
    {
        string[] beside = await MeetAsync(_clients[0], _clients[1], first, second);

        Assert.Multiple(async () =>
        {
            Assert.That(await MeetAsync(_clients[0], _clients[2], first, second), Is.EqualTo(beside), "we come second");
            Assert.That(await MeetAsync(_clients[2], _clients[0], first, second), Is.EqualTo(beside), "QEMU comes second");
            Assert.That(await MeetAsync(_clients[2], _clients[3], first, second), Is.EqualTo(beside), "we are both");
        });
    }

    /// <summary>What the second user is told while the first one has the image.</summary>
    private async Task<string[]> MeetAsync(QmpTestClient holder, QmpTestClient newcomer, string first, string second)
    {
        (_, string[] add, string[] remove) = s_users.First(user => user.Name == first);
        (_, string[] addSecond, string[] removeSecond) = s_users.First(user => user.Name == second);
        Assert.That(await SendAsync(holder, add), Has.All.Not.Contains("error"));
        string[] told = await SendAsync(newcomer, addSecond);
        await SendAsync(newcomer, removeSecond);
        await SendAsync(holder, remove);
        return told;
    }

    private async Task<string[]> SendAsync(QmpTestClient client, string[] requests)
    {
        var replies = new List<string>();
        foreach (string request in requests)
        {
            string reply = (await client.SendRawAsync(request.Replace("$DIR", _directory.Path, StringComparison.Ordinal) + "\n")).ToJsonString();
            replies.Add(reply);
            if (request == Unexport && !reply.Contains("error", StringComparison.Ordinal))
            {
                await client.WaitEventAsync("BLOCK_EXPORT_DELETED");
            }
        }

        return [.. replies];
    }

    private static string Add(string driver, string options) =>
        """{"execute":"blockdev-add","arguments":{"driver":"DRIVER","node-name":"n",OPTIONS}}""".Replace("DRIVER", driver, StringComparison.Ordinal).Replace("OPTIONS", options, StringComparison.Ordinal);

    private static string Export(bool writable) =>
        """{"execute":"block-export-add","arguments":{"type":"nbd","id":"e","node-name":"n","writable":WRITABLE}}""".Replace("WRITABLE", writable ? "true" : "false", StringComparison.Ordinal);
}
