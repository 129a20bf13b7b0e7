using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>What our bitmap commands do and QEMU's do not, or do worse.</summary>
public sealed class BitmapTests
{
    private TemporaryDirectory _directory = null!;
    private DaemonProcess _daemon = null!;
    private QmpTestClient _qmp = null!;

    [SetUp]
    public async Task Start()
    {
        _directory = new TemporaryDirectory();
        string file = _directory.File("base");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", file, "1M");
        Tool.Run("qemu-io", "-f", "qcow2", "-c", "write 0 256k", file);
        string overlay = _directory.File("overlay");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", "-b", file, "-F", "qcow2", overlay);
        Tool.Run("qemu-io", "-f", "qcow2", "-c", "write 128k 64k", "-c", "write -z 512k 128k", overlay);
        _daemon = DaemonProcess.Start(_directory, "--blockdev", $"driver=qcow2,node-name=d,file.driver=file,file.filename={overlay}");
        _qmp = await _daemon.ConnectAsync();
    }

    [TearDown]
    public async Task End()
    {
        _qmp.Dispose();
        await _daemon.DisposeAsync();
        _directory.Dispose();
    }

    [Test]
    public async Task A_persistent_bitmap_of_a_read_only_image_is_refused()
    {
        string file = _directory.File("ro");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", file, "1M");
        await _qmp.ExecuteAsync(
            "blockdev-add", $$"""{"driver": "qcow2", "node-name": "n", "read-only": true, "file": {"driver": "file", "filename": "{{file}}"} }""");
        Assert.That(
            await _qmp.FailAsync("block-dirty-bitmap-add", """{"node": "n", "name": "b", "persistent": true}"""),
            Is.EqualTo(("GenericError", "Can't make bitmap 'b' persistent in 'n': Image is read-only")));
        await _qmp.ExecuteAsync("block-dirty-bitmap-add", """{"node": "n", "name": "b"}""");
    }

    [Test]
    public async Task A_merge_of_no_bitmaps_succeeds_and_changes_nothing()
    {
        await AddAsync("b", fill: true);
        await _qmp.ExecuteAsync("block-dirty-bitmap-merge", """{"node": "d", "target": "b", "bitmaps": []}""");
        Assert.That(await RangesAsync("b"), Is.EqualTo("""{"ranges":[{"offset":0,"length":1048576}]}"""));
    }

    [Test]
    public async Task Populate_marks_what_the_overlay_itself_holds()
    {
        await AddAsync("b", fill: false);
        await _qmp.ExecuteAsync(
            "block-dirty-bitmap-populate", """{"job-id": "p", "node": "d", "name": "b", "pattern": "allocation-top", "auto-dismiss": false}""");
        await _qmp.WaitJobAsync("p", "concluded");
        Assert.That(await RangesAsync("b"), Is.EqualTo("""{"ranges":[{"offset":131072,"length":65536},{"offset":524288,"length":131072}]}"""));
        JsonNode job = (await _qmp.ExecuteAsync("query-jobs"))[0]!;
        Assert.That(job.ToJsonString(), Is.EqualTo(
            """{"id":"p","type":"bitmap-populate","status":"concluded","current-progress":1048576,"total-progress":1048576}"""));
        Assert.That(_qmp.StatusesOf("p"), Is.EqualTo(new[] { "created", "running", "waiting", "pending", "concluded" }));
    }

    [Test]
    public async Task A_grouped_populate_is_undone_with_its_sibling()
    {
        await AddAsync("b", fill: false);
        await AddAsync("c", fill: false);
        await _qmp.ExecuteAsync("transaction", """
            {"properties": {"completion-mode": "grouped"}, "actions": [
              {"type": "block-dirty-bitmap-populate",
               "data": {"job-id": "p", "node": "d", "name": "b", "pattern": "allocation-top", "auto-finalize": false}},
              {"type": "block-dirty-bitmap-populate",
               "data": {"job-id": "q", "node": "d", "name": "c", "pattern": "allocation-top", "auto-finalize": false}}]}
            """);
        await _qmp.WaitJobAsync("q", "pending");
        await _qmp.ExecuteAsync("job-cancel", """{"id": "q"}""");
        await _qmp.WaitJobAsync("p", "null");
        Assert.That(await RangesAsync("b"), Is.EqualTo("""{"ranges":[]}"""));
        await _qmp.ExecuteAsync("block-dirty-bitmap-remove", """{"node": "d", "name": "b"}""");
    }

    [Test]
    public async Task Ranges_come_in_pages()
    {
        await AddAsync("b", fill: false);
        await _qmp.ExecuteAsync(
            "block-dirty-bitmap-populate", """{"job-id": "p", "node": "d", "name": "b", "pattern": "allocation-top"}""");
        await _qmp.WaitJobAsync("p", "null");
        Assert.That(
            await RangesAsync("b", ", \"max-ranges\": 1"), Is.EqualTo("""{"ranges":[{"offset":131072,"length":65536}],"next-offset":196608}"""));
        Assert.That(
            await RangesAsync("b", ", \"max-ranges\": 1, \"offset\": 196608"), Is.EqualTo("""{"ranges":[{"offset":524288,"length":131072}]}"""));
        Assert.That(await RangesAsync("b", ", \"offset\": 600000"), Is.EqualTo("""{"ranges":[{"offset":600000,"length":55360}]}"""));
    }

    [TestCase("\"offset\": -1", "Parameter 'offset' expects a non-negative value")]
    [TestCase("\"max-ranges\": 0", "Parameter 'max-ranges' expects a value from 1 to 65536")]
    [TestCase("\"max-ranges\": 65537", "Parameter 'max-ranges' expects a value from 1 to 65536")]
    public async Task A_page_has_bounds(string argument, string error)
    {
        await AddAsync("b", fill: false);
        Assert.That(
            await _qmp.FailAsync("query-block-dirty-bitmap-ranges", $$"""{"node": "d", "name": "b", {{argument}}}"""),
            Is.EqualTo(("GenericError", error)));
    }

    private async Task AddAsync(string name, bool fill)
    {
        await _qmp.ExecuteAsync("block-dirty-bitmap-add", $$"""{"node": "d", "name": "{{name}}"}""");
        if (fill)
            await _qmp.ExecuteAsync("block-dirty-bitmap-fill", $$"""{"node": "d", "name": "{{name}}"}""");
    }

    private async Task<string> RangesAsync(string name, string more = "") =>
        (await _qmp.ExecuteAsync("query-block-dirty-bitmap-ranges", $$"""{"node": "d", "name": "{{name}}"{{more}}}""")).ToJsonString();
}
