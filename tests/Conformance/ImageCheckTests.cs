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

    /// <summary>The image's file is slow, so that the check is under way for as long as the test needs.</summary>
    [Test]
    public async Task A_check_tells_its_progress_can_be_paused_and_cancelled_and_holds_nobody_up()
    {
        Tool.Run("bash", "-ec", $"cd {_directory.Path}; qemu-img create -q -f qcow2 -o cluster_size=512,preallocation=metadata image 8M");
        await SendAsync("""{"execute":"object-add","arguments":{"qom-type":"throttle-group","id":"slow","limits":{"iops-read":100}}}""");
        await SendAsync(
            $$$"""{"execute":"blockdev-add","arguments":{"driver":"qcow2","node-name":"q","file":{"driver":"throttle","throttle-group":"slow","file":{"filename":"{{{_directory.Path}}}/image","driver":"file"} } } }""");
        await SendAsync("""{"execute":"x-blockdev-check","arguments":{"job-id":"j","node-name":"q"}}""");
        (long current, long total) = (0, 0);
        while (current < 3)
        {
            (current, total) = await ProgressAsync();
        }

        Assert.That(total, Is.InRange(256, 400));
        await SendAsync("""{"execute":"job-pause","arguments":{"id":"j"}}""");
        await SendAsync("""{"execute":"human-monitor-command","arguments":{"command-line":"qemu-io q \"write -P 3 1M 64k\""}}""");
        await SendAsync("""{"execute":"human-monitor-command","arguments":{"command-line":"qemu-io q \"flush\""}}""");
        await SendAsync("""{"execute":"blockdev-add","arguments":{"driver":"null-co","node-name":"n"}}""");
        await SendAsync("""{"execute":"block-dirty-bitmap-add","arguments":{"node":"q","name":"b","persistent":true}}""");
        await SendAsync("""{"execute":"block-dirty-bitmap-remove","arguments":{"node":"q","name":"b"}}""");
        Assert.That(await RefusalAsync("""{"execute":"blockdev-del","arguments":{"node-name":"q"}}"""), Is.EqualTo("Block device q is in use"));
        await SendAsync("""{"execute":"job-resume","arguments":{"id":"j"}}""");
        await SendAsync("""{"execute":"job-cancel","arguments":{"id":"j"}}""");
        await _qmp.WaitEventAsync("JOB_STATUS_CHANGE", data => (string?)data["id"] == "j" && (string?)data["status"] == "concluded");
        (current, total) = await ProgressAsync();
        Assert.That(current, Is.LessThan(total / 2));
        Assert.That((string?)(await SendAsync("""{"execute":"query-jobs"}"""))![0]!["error"], Is.EqualTo("Operation canceled"));
        await SendAsync("""{"execute":"job-dismiss","arguments":{"id":"j"}}""");
        Assert.That(await RefusalAsync("""{"execute":"x-query-block-check","arguments":{"node-name":"q"}}"""), Is.EqualTo("Node 'q' has not been checked"));

        await SendAsync("""{"execute":"qom-set","arguments":{"path":"/objects/slow","property":"limits","value":{"iops-read":0}}}""");
        JsonNode found = await CheckAsync("all");
        Assert.That(((long)found["leaks"]!, (long)found["corruptions"]!, (long)found["allocated-clusters"]!), Is.EqualTo((0, 0, 16384)));
        await SendAsync("""{"execute":"blockdev-del","arguments":{"node-name":"q"}}""");
        Tool.Run("bash", "-ec", $"cd {_directory.Path}; qemu-img check image; qemu-io -f qcow2 -c 'read -P 3 1M 64k' image");
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

    private async Task<(long Current, long Total)> ProgressAsync()
    {
        JsonNode job = (await SendAsync("""{"execute":"query-jobs"}"""))![0]!;
        return ((long)job["current-progress"]!, (long)job["total-progress"]!);
    }

    private async Task<JsonNode> CheckAsync(string fix)
    {
        await SendAsync($$$"""{"execute":"x-blockdev-check","arguments":{"job-id":"{{{fix}}}","node-name":"q","fix":"{{{fix}}}"}}""");
        await _qmp.WaitEventAsync("JOB_STATUS_CHANGE", data => (string?)data["id"] == fix && (string?)data["status"] == "concluded");
        JsonNode jobs = (await SendAsync("""{"execute":"query-jobs"}"""))!;
        Assert.That(jobs[0]!["error"], Is.Null);
        Assert.That((long)jobs[0]!["current-progress"]!, Is.EqualTo((long)jobs[0]!["total-progress"]!).And.GreaterThan(0));
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
