using Monitor.Block;
using Monitor.Qapi;
using NUnit.Framework;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Drivers;

public sealed class BlockOpenerTests
{
    private TemporaryFile _file = null!;
    private TestGraph _test = null!;

    [SetUp]
    public void MakeGraph()
    {
        _file = new TemporaryFile(1 << 20);
        _test = new TestGraph();
    }

    [TearDown]
    public void RemoveGraph()
    {
        _test.Dispose();
        _file.Dispose();
    }

    [Test]
    public async Task A_definition_with_an_inline_child_makes_both_nodes()
    {
        BlockNode raw = await OpenAsync($"{{'driver': 'raw', 'node-name': 'r', 'file': {File("'node-name': 'f'")}}}");

        Assert.Multiple(() =>
        {
            Assert.That(raw.SizeBytes, Is.EqualTo(1 << 20));
            Assert.That(raw.IsMonitorOwned);
            Assert.That(_test.Graph.Nodes.Select(n => n.NodeName), Is.EqualTo(new[] { "f", "r" }));
            Assert.That(_test.Graph.Find("f")!.IsMonitorOwned, Is.False);
        });
    }

    [Test]
    public async Task A_node_without_a_name_gets_one()
    {
        await OpenAsync($"{{'driver': 'raw', 'node-name': 'r', 'file': {File()}}}");

        Assert.That(_test.Graph.Nodes[0].NodeName, Does.Match("^#block[0-9]{3,}$"));
    }

    [Test]
    public async Task A_child_takes_caching_and_writability_from_its_parent_and_obeys_discards()
    {
        await OpenAsync($"{{'driver': 'raw', 'node-name': 'r', 'read-only': true, 'cache': {{'no-flush': true}}, 'detect-zeroes': 'on', 'file': {File("'node-name': 'f'")}}}");

        BlockNodeSettings file = _test.Graph.Find("f")!.Settings;
        Assert.Multiple(() =>
        {
            Assert.That(file.ReadOnly);
            Assert.That(file.CacheNoFlush);
            Assert.That(file.DiscardUnmap);
            Assert.That(file.DetectZeroes, Is.EqualTo(DetectZeroesMode.Off));
            Assert.That(_test.Graph.Find("r")!.Settings.DiscardUnmap, Is.False);
        });
    }

    [Test]
    public async Task A_reference_uses_the_node_that_is_there()
    {
        BlockNode file = await OpenAsync(File("'node-name': 'f'"));

        BlockNode raw = await OpenAsync("{'driver': 'raw', 'node-name': 'r', 'file': 'f'}");

        Assert.That(raw.FindChild(BlockChildRole.Primary)!.Node, Is.SameAs(file));
    }

    [Test]
    public void A_reference_to_nothing_is_refused_and_leaves_nothing()
    {
        Assert.That(Refusal("{'driver': 'raw', 'node-name': 'r', 'file': 'nope'}"), Is.EqualTo("Cannot find device='nope' nor node-name='nope'"));
        Assert.That(_test.Graph.Nodes, Is.Empty);
    }

    [Test]
    public async Task A_failure_above_closes_what_was_opened_below_and_frees_its_name()
    {
        Assert.That(
            Refusal($"{{'driver': 'raw', 'node-name': 'r', 'offset': 2000000, 'file': {File("'node-name': 'f'")}}}"),
            Is.EqualTo("Offset (2000000) cannot be greater than size of the containing file (1048576)"));
        Assert.That(_test.Graph.Nodes, Is.Empty);

        await OpenAsync($"{{'driver': 'raw', 'node-name': 'r', 'file': {File("'node-name': 'f'")}}}");
        Assert.That(_test.Graph.Nodes, Has.Count.EqualTo(2));
    }

    [Test]
    public async Task A_failure_leaves_a_referenced_node_as_it_was()
    {
        BlockNode file = await OpenAsync(File("'node-name': 'f'"));

        Assert.That(Refusal("{'driver': 'raw', 'node-name': 'r', 'offset': 2000000, 'file': 'f'}"), Does.StartWith("Offset"));

        Assert.Multiple(() =>
        {
            Assert.That(file.Parents, Is.Empty);
            Assert.That(_test.Graph.Find("f"), Is.SameAs(file));
        });
    }

    [Test]
    public async Task A_name_in_use_is_refused()
    {
        await OpenAsync(File("'node-name': 'f'"));

        Assert.That(Refusal(File("'node-name': 'f'")), Is.EqualTo("Duplicate nodes with node-name='f'"));
    }

    [TestCase("{'driver': 'file', 'filename': ''}", "The 'file' block driver requires a file name")]
    [TestCase("{'driver': 'file', 'filename': '/x', 'aio': 'native'}", "aio=native was specified, but it requires cache.direct=on, which was not specified.")]
    [TestCase("{'driver': 'null-co', 'size': -1}", "Parameter 'size' expects a non-negative number below 2^64")]
    [TestCase("{'driver': 'null-co', 'latency-ns': 9223372036854775808}", "latency-ns is invalid")]
    [TestCase("{'driver': 'null-co', 'force-share': true}", "force-share=on can only be used with read-only images")]
    [TestCase("{'driver': 'null-co', 'detect-zeroes': 'unmap'}", "setting detect-zeroes to unmap is not allowed without setting discard operation to unmap")]
    [TestCase("{'driver': 'blkdebug', 'align': 3, 'image': {'driver': 'null-co'}}", "Cannot meet constraints with align 3")]
    [TestCase("{'driver': 'blkdebug', 'align': 4096, 'max-transfer': 100, 'image': {'driver': 'null-co'}}", "Cannot meet constraints with max-transfer 100")]
    public void Options_that_make_no_sense_are_refused(string options, string text)
    {
        Assert.That(Refusal(options), Is.EqualTo(text));
        Assert.That(_test.Graph.Nodes, Is.Empty);
    }

    [TestCase("/a/b.qcow2", "c.raw", "/a/c.raw")]
    [TestCase("/a/b.qcow2", "/c.raw", "/c.raw")]
    [TestCase("/a/b.qcow2", "file:c.raw", "c.raw")]
    [TestCase("b.qcow2", "d/c.raw", "d/c.raw")]
    public void A_backing_file_is_found_from_its_images_directory(string image, string backing, string path)
    {
        BlockdevOptions options = BackingFileOptions.From(new BackingImage(backing, "raw"), image);

        Assert.That(options.Raw.File.Definition!.File.Filename, Is.EqualTo(path));
    }

    [Test]
    public void A_backing_file_with_an_unknown_format_or_protocol_is_refused()
    {
        Assert.That(() => BackingFileOptions.From(new BackingImage("x", "xyz"), "/i"), Refuses("Unknown driver 'xyz'"));
        Assert.That(() => BackingFileOptions.From(new BackingImage("nbd://x", "raw"), "/i"), Refuses("Unknown protocol 'nbd'"));
    }

    [Test]
    public async Task A_backing_file_without_a_format_is_probed()
    {
        Assert.That(BackingFileOptions.From(new BackingImage(_file.Name, null), "/i").Driver, Is.EqualTo(BlockdevDriver.Raw));

        await System.IO.File.WriteAllBytesAsync(_file.Name, [0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3]);
        Assert.That(BackingFileOptions.From(new BackingImage(_file.Name, null), "/i").Driver, Is.EqualTo(BlockdevDriver.Qcow2));
    }

    [Test]
    public void A_json_name_gives_the_backing_nodes_options() =>
        Assert.That(
            BackingFileOptions.From(new BackingImage("json:{\"driver\": \"null-co\", \"size\": 512}", null), "/i").NullCo.Size, Is.EqualTo(512));

    [Test]
    public async Task With_auto_read_only_the_file_is_written_only_while_somebody_writes()
    {
        BlockNode file = await OpenAsync(File("'node-name': 'f', 'auto-read-only': true"));
        Assert.That(async () => await file.WriteAsync(0, new byte[1]), Throws.TypeOf<BlockIoException>().With.Property("Errno").EqualTo(Errno.EBADF));

        BlockBackend writer = _test.AttachRoot(file, BlockPermission.Write, BlockPermission.All);
        await writer.WriteAsync(0, new byte[] { 1 });

        await _test.Loop.RunAsync(async () => await _test.Graph.DetachRootAsync(writer));
        Assert.That(async () => await file.WriteAsync(0, new byte[1]), Throws.TypeOf<BlockIoException>());
    }

    [Test]
    public async Task Two_nodes_of_one_file_do_not_both_get_what_one_does_not_share()
    {
        BlockNode first = await OpenAsync(File("'node-name': 'a'"));
        BlockNode second = await OpenAsync(File("'node-name': 'b'"));
        BlockBackend writer = _test.AttachRoot(first, BlockPermission.Write, BlockPermission.ConsistentRead);

        Assert.Multiple(() =>
        {
            Assert.That(
                () => _test.AttachRoot(second, BlockPermission.Write, BlockPermission.All), Refuses("Failed to get \"write\" lock"));
            Assert.That(
                () => _test.AttachRoot(second, BlockPermission.ConsistentRead, BlockPermission.ConsistentRead),
                Refuses("Failed to get shared \"write\" lock"));
            Assert.That(() => _test.AttachRoot(second, BlockPermission.ConsistentRead, BlockPermission.All), Throws.Nothing);
        });

        await _test.Loop.RunAsync(async () => await _test.Graph.DetachRootAsync(writer));
        Assert.That(() => _test.AttachRoot(second, BlockPermission.Write, BlockPermission.All), Throws.Nothing);
    }

    [Test]
    public async Task Without_locking_nothing_is_kept_from_others()
    {
        BlockNode first = await OpenAsync(File("'node-name': 'a', 'locking': 'off'"));
        BlockNode second = await OpenAsync(File("'node-name': 'b'"));

        _test.AttachRoot(first, BlockPermission.Write, BlockPermission.None);

        Assert.That(() => _test.AttachRoot(second, BlockPermission.Write, BlockPermission.None), Throws.Nothing);
    }

    private static NUnit.Framework.Constraints.IResolveConstraint Refuses(string text) =>
        Throws.TypeOf<QmpException>().With.Message.EqualTo(text);

    private string File(string more = "")
    {
        string members = more.Length == 0 ? "" : ", " + more;
        return $"{{'driver': 'file', 'filename': '{_file.Name}'{members}}}";
    }

    private Task<BlockNode> OpenAsync(string options) => _test.Loop.RunAsync(() =>
        BlockOpener.OpenAsync(_test.Graph, BlockdevOptions.Read(QmpInputVisitor.Parse(options), null), monitorOwned: true));

    private string Refusal(string options) => Assert.Throws<QmpException>(() => OpenAsync(options).GetAwaiter().GetResult())!.Message;
}
