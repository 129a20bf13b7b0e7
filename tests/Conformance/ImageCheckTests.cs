using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Checking and repairing images by <c>x-blockdev-check</c>, which is ours alone.</summary>
public sealed class ImageCheckTests
{
    private TemporaryDirectory _directory = null!;
    private DaemonProcess _daemon = null!;
    private QmpTestClient _qmp = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _directory = new TemporaryDirectory();
        Tool.Run("bash", "-ec", $"cd {_directory.Path}; qemu-img create -q -f qcow2 image 8M; qemu-io -f qcow2 -c 'write -P 1 0 1M' image >/dev/null");
        _daemon = DaemonProcess.Start(Repository.Daemon, _directory);
        _qmp = await _daemon.ConnectAsync();
    }

    [TearDown]
    public async Task StopAsync()
    {
        _qmp.Dispose();
        await _daemon.DisposeAsync();
        _directory.Dispose();
    }

    [Test]
    public async Task A_leak_is_found_then_repaired_while_the_image_is_in_use()
    {
        Poke("\\x00\\x02", 0x20000 + (2 * 10));
        await AddAsync();
        JsonNode found = await CheckAsync("none");
        Assert.That(((long)found["leaks"]!, (long)found["corruptions"]!, (long)found["allocated-clusters"]!), Is.EqualTo((1, 1, 16)));
        Assert.That((string?)found["messages"]![0], Is.EqualTo("Leaked cluster 10 refcount=2 reference=1"));
        JsonNode repaired = await CheckAsync("leaks");
        Assert.That(((long)repaired["leaks"]!, (long)repaired["corruptions"]!, (long)repaired["leaks-fixed"]!), Is.EqualTo((0, 0, 1)));
        await SendAsync("""{"execute":"human-monitor-command","arguments":{"command-line":"qemu-io q \"write -P 2 512k 3M\""}}""");
        await SendAsync("""{"execute":"blockdev-del","arguments":{"node-name":"q"}}""");
        Tool.Run("bash", "-ec", $"cd {_directory.Path}; qemu-img check image; qemu-io -f qcow2 -c 'read -P 1 0 512k' -c 'read -P 2 512k 3M' image");
    }

    [Test]
    public async Task A_corrupt_image_that_can_only_be_read_is_repaired_and_can_be_written_again()
    {
        Poke("\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02", 72);
        Poke("\\x00\\x03", 0x20000 + (2 * 5));
        await AddAsync(""","read-only":true""");
        JsonNode repaired = await CheckAsync("all");
        Assert.That((long)repaired["leaks-fixed"]! + (long)repaired["corruptions-fixed"]!, Is.GreaterThan(0));
        await SendAsync("""{"execute":"blockdev-del","arguments":{"node-name":"q"}}""");
        await AddAsync();
        Tool.Run("bash", "-ec", $"cd {_directory.Path}; qemu-img check -U image");
    }

    [Test]
    public async Task What_cannot_be_checked_is_refused()
    {
        await SendAsync("""{"execute":"blockdev-add","arguments":{"driver":"null-co","node-name":"n"}}""");
        await AddAsync();
        Assert.That(await RefusalAsync("""{"execute":"x-blockdev-check","arguments":{"job-id":"j","node-name":"n"}}"""), Is.EqualTo("This image format does not support checks"));
        Assert.That(await RefusalAsync("""{"execute":"x-query-block-check","arguments":{"node-name":"q"}}"""), Is.EqualTo("Node 'q' has not been checked"));
        Assert.That(
            await RefusalAsync("""{"execute":"x-blockdev-check","arguments":{"job-id":"j","node-name":"q","fix":"some"}}"""),
            Is.EqualTo("Parameter 'fix' does not accept value 'some'"));
    }

    private void Poke(string bytes, int offset) =>
        Tool.Run("bash", "-ec", $"printf '{bytes}' | dd of={_directory.Path}/image bs=1 seek={offset} conv=notrunc status=none");

    private Task AddAsync(string options = "") =>
        SendAsync(
            $$$"""{"execute":"blockdev-add","arguments":{"driver":"qcow2","node-name":"q","file":{"driver":"file","filename":"{{{_directory.Path}}}/image"}{{{options}}}}}""");

    private async Task<JsonNode> CheckAsync(string fix)
    {
        await SendAsync($$$"""{"execute":"x-blockdev-check","arguments":{"job-id":"{{{fix}}}","node-name":"q","fix":"{{{fix}}}"}}""");
        await _qmp.WaitEventAsync("JOB_STATUS_CHANGE", data => (string?)data["id"] == fix && (string?)data["status"] == "concluded");
        JsonNode jobs = (await SendAsync("""{"execute":"query-jobs"}"""))!;
        Assert.That(jobs[0]!["error"], Is.Null);
        await SendAsync($$$"""{"execute":"job-dismiss","arguments":{"id":"{{{fix}}}"}}""");
        return (await SendAsync("""{"execute":"x-query-block-check","arguments":{"node-name":"q"}}"""))!;
    }

    private async Task<JsonNode?> SendAsync(string request)
    {
        JsonObject reply = await _qmp.SendRawAsync(request);
        Assert.That(reply["error"]?.ToJsonString(), Is.Null, request);
        return reply["return"];
    }

    private async Task<string?> RefusalAsync(string request) => (string?)(await _qmp.SendRawAsync(request))["error"]?["desc"];
}
