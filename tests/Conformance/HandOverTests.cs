using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>An image goes to another process and comes back (<c>blockdev-set-active</c>, <c>active</c>, <c>allow-inactive</c>), and its bitmaps miss no write.</summary>
/// <remarks>QEMU 7.2 has no such command, so its tools play the other process; the texts are those of QEMU 10.</remarks>
public sealed class HandOverTests
{
    private const int SizeBytes = 32 << 20;
    private const int Granularity = 64 << 10;
    private const int NotPermitted = 1;

    private TemporaryDirectory _directory = null!;
    private DaemonProcess _daemon = null!;
    private QmpTestClient _qmp = null!;

    private string Image => _directory.File("disk");

    private string NbdPath => _directory.File("nbd");

    [SetUp]
    public async Task Start()
    {
        _directory = new TemporaryDirectory();
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", Image, $"{SizeBytes}");
        await StartDaemonAsync("");
    }

    [TearDown]
    public async Task End()
    {
        _qmp.Dispose();
        await _daemon.DisposeAsync();
        _directory.Dispose();
    }

    [Test]
    public async Task Bitmaps_hold_what_both_processes_wrote_however_often_the_image_changes_hands([Values(1, 2)] int seed)
    {
        var random = new Random(seed);
        var written = new SortedSet<int>();
        await AddBitmapAsync("ours", ", \"persistent\": true");
        await AddBitmapAsync("off", ", \"persistent\": true, \"disabled\": true");
        await ExportAsync(", \"allow-inactive\": true");
        using var guest = new NbdTestClient(NbdPath, "disk");
        for (int turn = 0; turn < 5; turn++)
        {
            for (int i = 0; i < 5; i++)
            {
                Assert.That(guest.Write(Choose(random, written), new byte[4096]), Is.Zero);
            }

            await SetActiveAsync(false);
            Assert.That(guest.Write(0, new byte[512]), Is.EqualTo(NotPermitted));
            Assert.That(guest.Read(0, new byte[512]), Is.Zero);
            string[] writes = [.. Enumerable.Range(0, 3).SelectMany(_ => new[] { "-c", $"write {Choose(random, written)} 4096" })];
            Tool.Run("qemu-io", [.. writes, Image]);
            await SetActiveAsync(true);
            Assert.That(await DirtyGranulesAsync("ours"), Is.EqualTo(written), $"seed {seed}, turn {turn}");
            Assert.That(await DirtyGranulesAsync("off"), Is.Empty);
        }

        await QuitAsync();
        Tool.Run("qemu-img", "check", "-q", Image);
        Assert.That(
            (await DirtyMap.ReadByQemuAsync(_directory, Image, "ours")).Sum(range => range.Length),
            Is.EqualTo((long)written.Count * Granularity));
    }

    [Test]
    public async Task What_another_process_did_to_the_image_and_its_bitmaps_is_there_after_activation()
    {
        await AddBitmapAsync("gone", ", \"persistent\": true");
        await AddBitmapAsync("memory", "");
        await AddBitmapAsync("asleep", ", \"disabled\": true");
        await SetActiveAsync(false);
        Assert.That(await NamesAsync(), Is.EquivalentTo(new[] { "memory", "asleep" }), "what the image holds is not ours to show");
        Assert.That(Tool.Run("qemu-img", "info", Image), Does.Contain("gone").And.Not.Contain("in-use"));
        Tool.Run("qemu-img", "bitmap", "--remove", Image, "gone");
        Tool.Run("qemu-img", "bitmap", "--add", "-g", $"{Granularity}", Image, "theirs");
        Tool.Run("qemu-img", "resize", "-q", Image, $"{2 * SizeBytes}");
        Tool.Run("qemu-io", "-c", $"write -P 9 {SizeBytes} 64k", Image);
        await SetActiveAsync(true);
        Assert.That(await NamesAsync(), Is.EquivalentTo(new[] { "memory", "asleep", "theirs" }));
        Assert.That(await DirtyGranulesAsync("theirs"), Is.EqualTo(new[] { SizeBytes / Granularity }));
        Assert.That(await DirtyGranulesAsync("memory"), Has.Count.EqualTo(2 * SizeBytes / Granularity), "it saw nothing of what happened meanwhile");
        Assert.That(await DirtyGranulesAsync("asleep"), Is.Empty);
        await ExportAsync("");
        using var guest = new NbdTestClient(NbdPath, "disk");
        byte[] data = new byte[1];
        Assert.That((guest.SizeBytes, guest.Read(SizeBytes, data), data[0]), Is.EqualTo((2L * SizeBytes, 0, (byte)9)));
    }

    [Test]
    public async Task A_node_opened_inactive_waits_for_the_process_that_has_the_image()
    {
        await QuitAsync();
        Tool.Run("qemu-img", "bitmap", "--add", "-g", $"{Granularity}", Image, "b");
        DaemonProcess other = DaemonProcess.Start(
            "qemu-storage-daemon",
            _directory,
            "--blockdev",
            $"driver=qcow2,node-name=q,file.driver=file,file.filename={Image}",
            "--nbd-server",
            $"addr.type=unix,addr.path={_directory.File("other")}",
            "--export",
            "type=nbd,id=e,node-name=q,name=q,writable=on");
        using QmpTestClient otherQmp = await other.ConnectAsync();
        using var guest = new NbdTestClient(_directory.File("other"), "q");
        await StartDaemonAsync(",active=off");
        Assert.That(await NamesAsync(), Is.Empty);
        Assert.That(guest.Write(5 * Granularity, new byte[512]), Is.Zero);
        Assert.That(await FailToActivateAsync(), Is.EqualTo("Failed to get \"write\" lock"));
        Assert.That(await IsActiveAsync(), Is.False);
        await otherQmp.ExecuteAsync("block-export-del", """{"id": "e", "mode": "hard"}""");
        await otherQmp.ExecuteAsync("blockdev-del", """{"node-name": "q"}""");
        await SetActiveAsync(true);
        Assert.That(await DirtyGranulesAsync("b"), Is.EqualTo(new[] { 5 }));
        await other.DisposeAsync();
    }

    [Test]
    public async Task Bitmaps_of_a_process_that_was_killed_say_that_they_are_inconsistent()
    {
        await AddBitmapAsync("b", ", \"persistent\": true");
        await SetActiveAsync(false);
        DaemonProcess other = DaemonProcess.Start(
            "qemu-storage-daemon", _directory, "--blockdev", $"driver=qcow2,node-name=q,file.driver=file,file.filename={Image}");
        using (QmpTestClient qmp = await other.ConnectAsync())
        {
            await qmp.ExecuteAsync("query-named-block-nodes");
        }

        await other.DisposeAsync();
        await SetActiveAsync(true);
        Assert.That((bool?)(await BitmapsAsync())[0]!["inconsistent"], Is.True);
    }

    [Test]
    public async Task Killed_while_inactive_the_daemon_leaves_bitmaps_that_are_exact_and_while_active_ones_that_say_they_are_not([Values] bool active)
    {
        await AddBitmapAsync("b", ", \"persistent\": true");
        await SetActiveAsync(false);
        if (active)
        {
            await SetActiveAsync(true);
        }

        _daemon.Kill();
        Assert.That(Tool.Run("qemu-img", "info", Image).Contains("in-use"), Is.EqualTo(active));
        Tool.Run("qemu-img", "check", "-q", Image);
    }

    [Test]
    public async Task A_node_that_somebody_needs_stays_active()
    {
        await RefusesAsync("file", "Node has active parent node");
        await ExportAsync("");
        await RefusesAsync("disk", "Failed to inactivate node: Operation not permitted");
        Assert.That(
            await _qmp.FailAsync("blockdev-set-active", """{"active": false}"""),
            Is.EqualTo(("GenericError", "Failed to inactivate all nodes: Operation not permitted")));
        Assert.That(
            await _qmp.FailAsync("blockdev-set-active", """{"node-name": "no", "active": false}"""),
            Is.EqualTo(("GenericError", "Failed to find node with node-name='no'")));
        await _qmp.ExecuteAsync("block-export-del", """{"id": "e"}""");
        await AddBitmapAsync("b", ", \"persistent\": true");
        await ExportAsync(", \"allow-inactive\": true, \"bitmaps\": [\"b\"]");
        await RefusesAsync("disk", "Failed to inactivate node: Bitmap 'b' is currently in use by another operation and cannot be used");
        Assert.That(await IsActiveAsync(), Is.True);
        using var guest = new NbdTestClient(NbdPath, "disk");
        Assert.That(guest.Write(0, new byte[512]), Is.Zero);
    }

    [TestCase("block_resize", """{"node-name": "disk", "size": 1048576}""", "Permission 'resize' unavailable on inactive node")]
    [TestCase("block-dirty-bitmap-add", """{"node": "disk", "name": "p", "persistent": true}""", "Can't make bitmap 'p' persistent in 'disk': Image is read-only")]
    [TestCase("blockdev-snapshot-internal-sync", """{"device": "disk", "name": "s"}""", "Device 'disk' is read only")]
    [TestCase("blockdev-mirror", """{"job-id": "j", "device": "target", "target": "disk", "sync": "full"}""", "Permission 'write' unavailable on inactive node")]
    [TestCase(
        "blockdev-add",
        """{"driver": "raw", "node-name": "r", "file": "disk"}""",
        "Inactive 'disk' can't be a file child of active 'r'")]
    [TestCase(
        "blockdev-reopen",
        """{"options": [{"driver": "qcow2", "node-name": "disk", "file": "file", "active": true}]}""",
        "Cannot change the option 'active'")]
    public async Task An_inactive_node_is_only_read(string command, string arguments, string error)
    {
        await _qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "null-co", "node-name": "target", "size": {{SizeBytes}}}""");
        await SetActiveAsync(false);
        byte[] before = await File.ReadAllBytesAsync(Image);
        Assert.That((await _qmp.FailAsync(command, arguments)).Description, Does.StartWith(error));
        await QuitAsync();
        Assert.That(await File.ReadAllBytesAsync(Image), Is.EqualTo(before));
    }

    [Test]
    public async Task An_overlay_on_an_inactive_node_becomes_inactive_and_both_are_activated_together()
    {
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", _directory.File("overlay"), $"{SizeBytes}");
        await _qmp.ExecuteAsync(
            "blockdev-add",
            $$"""{"driver": "qcow2", "node-name": "overlay", "backing": null, "file": {"driver": "file", "filename": "{{_directory.File("overlay")}}"} }""");
        await SetActiveAsync(false);
        await _qmp.ExecuteAsync("blockdev-snapshot", """{"node": "disk", "overlay": "overlay"}""");
        Assert.That(await IsActiveAsync("overlay"), Is.False);
        await _qmp.ExecuteAsync("blockdev-set-active", """{"active": true}""");
        Assert.That((await IsActiveAsync("overlay"), await IsActiveAsync()), Is.EqualTo((true, true)));
    }

    [Test]
    public async Task An_export_that_does_not_allow_otherwise_activates_its_node()
    {
        await SetActiveAsync(false);
        await ExportAsync("");
        Assert.That(await IsActiveAsync(), Is.True);
    }

    [Test]
    public async Task An_activation_that_fails_half_way_gives_back_what_it_had_taken()
    {
        await AddBitmapAsync("b", ", \"persistent\": true");
        string second = await AddImageAsync("second", "");
        await _qmp.ExecuteAsync("blockdev-set-active", """{"active": false}""");
        byte[] header = await File.ReadAllBytesAsync(second);
        await File.WriteAllBytesAsync(second, new byte[header.Length]);
        Assert.That((await _qmp.FailAsync("blockdev-set-active", """{"active": true}""")).Class, Is.EqualTo("GenericError"));
        Assert.That((await IsActiveAsync(), await IsActiveAsync("second")), Is.EqualTo((false, false)));
        Tool.Run("qemu-io", "-c", $"write {5 * Granularity} 512", Image);
        Assert.That(Tool.Run("qemu-img", "info", Image), Does.Not.Contain("in-use"));
        await File.WriteAllBytesAsync(second, header);
        await _qmp.ExecuteAsync("blockdev-set-active", """{"active": true}""");
        Assert.That((await IsActiveAsync(), await IsActiveAsync("second")), Is.EqualTo((true, true)));
        Assert.That(await DirtyGranulesAsync("b"), Is.EqualTo(new[] { 5 }));
    }

    [Test]
    public async Task An_inactivation_that_fails_half_way_leaves_everything_in_use()
    {
        await AddBitmapAsync("b", ", \"persistent\": true");
        await AddImageAsync("second", """, "driver": "blkdebug", "inject-error": [{"event": "none", "iotype": "write", "errno": 28}], "image": {"driver": "file", "filename": "$" }""");
        await _qmp.ExecuteAsync("block-dirty-bitmap-add", """{"node": "second", "name": "b", "persistent": true}""");
        await ExportAsync(", \"allow-inactive\": true");
        using var guest = new NbdTestClient(NbdPath, "disk");
        Assert.That(guest.Write(3 * Granularity, new byte[512]), Is.Zero);
        Assert.That(
            (await _qmp.FailAsync("blockdev-set-active", """{"active": false}""")).Description,
            Is.EqualTo("Failed to inactivate all nodes: No space left on device"));
        Assert.That((await IsActiveAsync(), await IsActiveAsync("second")), Is.EqualTo((true, true)));
        Assert.That(guest.Write(5 * Granularity, new byte[512]), Is.Zero);
        Assert.That(await DirtyGranulesAsync("b"), Is.EqualTo(new[] { 3, 5 }));
        Assert.That(Tool.Run("qemu-img", "info", "-U", Image), Does.Contain("in-use"));
    }

    [Test]
    public async Task A_filter_and_a_quorum_go_with_all_that_is_below_them()
    {
        string[] copies = [await AddImageAsync("one", ""), await AddImageAsync("two", "")];
        foreach (string node in new[] { "one", "two" })
        {
            await _qmp.ExecuteAsync("block-dirty-bitmap-add", $$"""{"node": "{{node}}", "name": "b", "persistent": true, "granularity": {{Granularity}}}""");
        }

        await _qmp.ExecuteAsync("object-add", """{"qom-type": "throttle-group", "id": "g"}""");
        await _qmp.ExecuteAsync(
            "blockdev-add",
            """{"driver": "throttle", "node-name": "top", "throttle-group": "g", "file": {"driver": "quorum", "node-name": "q", "vote-threshold": 2, "children": ["one", "two"]} }""");
        await _qmp.ExecuteAsync(
            "block-export-add", """{"type": "nbd", "id": "t", "node-name": "top", "writable": true, "allow-inactive": true}""");
        using var guest = new NbdTestClient(NbdPath, "top");
        Assert.That(guest.Write(2 * Granularity, new byte[512]), Is.Zero);
        await _qmp.ExecuteAsync("blockdev-set-active", """{"node-name": "top", "active": false}""");
        foreach (string node in new[] { "top", "q", "one", "two" })
        {
            Assert.That(await IsActiveAsync(node), Is.False, node);
        }

        Assert.That((guest.Write(0, new byte[512]), guest.Read(0, new byte[512])), Is.EqualTo((NotPermitted, 0)));
        foreach (string image in copies)
        {
            Tool.Run("qemu-io", "-c", $"write -P 7 {4 * Granularity} 512", image);
        }

        await _qmp.ExecuteAsync("blockdev-set-active", """{"node-name": "top", "active": true}""");
        byte[] data = new byte[512];
        Assert.That((guest.Write(6 * Granularity, new byte[512]), guest.Read(4 * Granularity, data), data[0]), Is.EqualTo((0, 0, (byte)7)));
        await QuitAsync();
        foreach (string image in copies)
        {
            Assert.That(
                await DirtyMap.ReadByQemuAsync(_directory, image, "b"),
                Is.EqualTo(new[] { 2, 4, 6 }.Select(granule => ((long)granule * Granularity, (long)Granularity))));
        }
    }

    private async Task<string> AddImageAsync(string node, string file)
    {
        string image = _directory.File(node);
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", image, $"{SizeBytes}");
        string child = file.Length == 0 ? $$""", "driver": "file", "filename": "{{image}}" """ : file.Replace("$", image, StringComparison.Ordinal);
        await _qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "qcow2", "node-name": "{{node}}", "file": {"node-name": "{{node}}-file"{{child}}} }""");
        return image;
    }

    private static int Choose(Random random, SortedSet<int> written)
    {
        int granule = random.Next(SizeBytes / Granularity);
        written.Add(granule);
        return (granule * Granularity) + (random.Next(15) * 4096);
    }

    private async Task StartDaemonAsync(string option)
    {
        _daemon = DaemonProcess.Start(
            _directory,
            "--compat",
            "11.1",
            "--nbd-server",
            $"addr.type=unix,addr.path={NbdPath}",
            "--blockdev",
            $"driver=file,node-name=file,filename={Image}{option}",
            "--blockdev",
            $"driver=qcow2,node-name=disk,file=file{option}");
        _qmp = await _daemon.ConnectAsync();
    }

    private async Task QuitAsync()
    {
        await _qmp.ExecuteAsync("quit");
        await _daemon.WaitForExitAsync();
    }

    private Task<JsonNode> ExportAsync(string more) =>
        _qmp.ExecuteAsync("block-export-add", $$"""{"type": "nbd", "id": "e", "node-name": "disk", "writable": true{{more}}}""");

    private Task<JsonNode> AddBitmapAsync(string name, string more) =>
        _qmp.ExecuteAsync("block-dirty-bitmap-add", $$"""{"node": "disk", "name": "{{name}}", "granularity": {{Granularity}}{{more}}}""");

    private Task<JsonNode> SetActiveAsync(bool active) =>
        _qmp.ExecuteAsync("blockdev-set-active", $$"""{"node-name": "disk", "active": {{(active ? "true" : "false")}}}""");

    private async Task<string> FailToActivateAsync() =>
        (await _qmp.FailAsync("blockdev-set-active", """{"node-name": "disk", "active": true}""")).Description;

    private async Task RefusesAsync(string node, string error) => Assert.That(
        await _qmp.FailAsync("blockdev-set-active", $$"""{"node-name": "{{node}}", "active": false}"""), Is.EqualTo(("GenericError", error)));

    private async Task<JsonNode> NodeAsync(string name) =>
        (await _qmp.ExecuteAsync("query-named-block-nodes")).AsArray().Single(node => (string?)node!["node-name"] == name)!;

    private async Task<bool> IsActiveAsync(string node = "disk") => (bool)(await NodeAsync(node))["active"]!;

    private async Task<JsonArray> BitmapsAsync() => (await NodeAsync("disk"))["dirty-bitmaps"]?.AsArray() ?? [];

    private async Task<IEnumerable<string>> NamesAsync() => (await BitmapsAsync()).Select(bitmap => (string)bitmap!["name"]!);

    private async Task<SortedSet<int>> DirtyGranulesAsync(string bitmap)
    {
        JsonNode ranges = (await _qmp.ExecuteAsync("query-block-dirty-bitmap-ranges", $$"""{"node": "disk", "name": "{{bitmap}}"}"""))["ranges"]!;
        return [.. ranges.AsArray().SelectMany(range =>
            Enumerable.Range((int)((long)range!["offset"]! / Granularity), (int)((long)range["length"]! / Granularity)))];
    }
}
