using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Drivers.File;
using Monitor.Block.Drivers.Raw;
using Monitor.Qapi;
using Monitor.Storage.Exports;
using NUnit.Framework;
using Testing;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Interop.Nbd;

/// <summary>Other people's NBD clients against our server: a raw file, exported writable with a bitmap and read-only.</summary>
public sealed class NbdToolsTests : IEventSink
{
    private const int SizeBytes = 16 << 20;

    private readonly MonitorLoop _loop = new();
    private TemporaryDirectory _directory = null!;
    private NbdServer _server = null!;
    private string _image = null!;

    [SetUp]
    public async Task SetUp()
    {
        _directory = new TemporaryDirectory();
        _image = _directory.File("disk.raw");
        using (FileStream image = File.Create(_image))
        {
            image.SetLength(SizeBytes);
        }

        var graph = new BlockGraph(_loop, this);
        var file = new FileNode(new BlockNodeSettings { NodeName = "file", DiscardUnmap = true }, _image);
        var raw = new RawNode(new BlockNodeSettings { NodeName = "raw", DiscardUnmap = true });
        var writer = new BlockBackend();
        var reader = new BlockBackend();
        await file.OpenAsync();
        Turn(() => graph.Add(file));
        Turn(() => graph.AttachChild(raw, file, "file", RawNode.ChildRole(0, null)));
        await raw.OpenAsync();
        Turn(() => graph.AttachRoot(writer, raw, BlockPermission.ConsistentRead | BlockPermission.Write, BlockPermission.All));
        Turn(() => graph.AttachRoot(reader, raw, BlockPermission.ConsistentRead, BlockPermission.All));
        DirtyBitmap bitmap = raw.Bitmaps.Add("b0", 65536);
        _server = await NbdServer.StartAsync(new SocketAddress
        {
            Type = SocketAddressType.Unix,
            Branch = new UnixSocketAddress { Path = _directory.File("s") },
        });
        _server.Add(new NbdExport(writer, new NbdExportOptions { Id = "w", Name = "w", Description = "the disk", Writable = true, Bitmaps = [bitmap] }));
        _server.Add(new NbdExport(reader, new NbdExportOptions { Id = "r", Name = "r" }));
    }

    [TearDown]
    public async Task TearDown()
    {
        await _loop.RunAsync(_server.StopAsync);
        _directory.Dispose();
    }

    [OneTimeTearDown]
    public void EndLoop() => _loop.Dispose();

    [Test]
    public void Nbdinfo_lists_and_describes_the_exports()
    {
        string list = Tool.Run("nbdinfo", "--list", $"nbd+unix:///?socket={_directory.File("s")}");
        Assert.That(list, Does.Contain("export=\"w\"").And.Contain("export=\"r\"").And.Contain("description: the disk"));
        Assert.That(list, Does.Contain("newstyle-fixed").And.Contain("base:allocation").And.Contain("qemu:dirty-bitmap:b0"));
        Assert.That(Tool.Run("nbdinfo", "--size", Uri("w")).Trim(), Is.EqualTo($"{SizeBytes}"));
        Assert.That(Tool.Try("nbdinfo", "--is", "read-only", Uri("r")).ExitCode, Is.Zero);
        Assert.That(Tool.Try("nbdinfo", "--can", "fast-zero", Uri("w")).ExitCode, Is.Zero);
    }

    [Test]
    public void Qemu_io_writes_zeroes_and_discards_and_the_maps_show_it()
    {
        Tool.Run(
            "qemu-io", "-f", "raw", "-c", "write -P 0x11 1M 1M", "-c", "write -P 0x22 4M 64k", "-c", "write -f -P 0x33 8M 4k", "-c", "write -z -u 1M 64k",
            "-c", "discard 4M 64k", "-c", "flush", "-c", "read -P 0x11 1088k 960k", "-c", "read -P 0 1M 64k", "-c", "read -P 0 4M 64k",
            "-c", "read -P 0x33 8M 4k", Uri("w"));
        string[] dirty = Lines(Tool.Run("nbdinfo", "--map=qemu:dirty-bitmap:b0", Uri("w")));
        Assert.That(dirty, Is.EqualTo(new[]
        {
            "0 1048576 0 clean", "1048576 1048576 1 dirty", "2097152 2097152 0 clean", "4194304 65536 1 dirty",
            "4259840 4128768 0 clean", "8388608 65536 1 dirty", "8454144 8323072 0 clean",
        }));
        string[] allocation = Lines(Tool.Run("nbdinfo", "--map", Uri("w")));
        Assert.That(allocation, Has.Member("0 1114112 3 hole,zero").And.Member("1114112 983040 0 data"));
    }

    [Test]
    public void Nbdcopy_and_qemu_img_copy_both_ways_exactly()
    {
        string source = _directory.File("source.raw");
        byte[] bytes = new byte[SizeBytes];
        var random = new Random(5);
        random.NextBytes(bytes.AsSpan(0, 3 << 20));
        random.NextBytes(bytes.AsSpan((5 << 20) + 4096, (6 << 20) + 512));
        File.WriteAllBytes(source, bytes);

        Tool.Run("nbdcopy", "--flush", source, Uri("w"));
        Assert.That(File.ReadAllBytes(_image).AsSpan().SequenceEqual(bytes), Is.True, "nbdcopy in");
        string copy = _directory.File("copy.raw");
        Tool.Run("nbdcopy", Uri("r"), copy);
        Assert.That(File.ReadAllBytes(copy).AsSpan().SequenceEqual(bytes), Is.True, "nbdcopy out");
        string converted = _directory.File("converted.raw");
        Tool.Run("qemu-img", "convert", "-f", "raw", "-O", "raw", Uri("r"), converted);
        Assert.That(File.ReadAllBytes(converted).AsSpan().SequenceEqual(bytes), Is.True, "qemu-img out");
        random.NextBytes(bytes);
        File.WriteAllBytes(source, bytes);
        Tool.Run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, Uri("w"));
        Tool.Run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, Uri("r"));
    }

    [Test]
    public void Writes_to_the_read_only_export_are_refused()
    {
        ToolResult result = Tool.Try("qemu-io", "-f", "raw", "-c", "write 0 4k", Uri("r"));
        Assert.That(result.ExitCode, Is.Not.Zero);
        Assert.That(result.Output + result.Error, Does.Contain("Permission denied"));
    }

    public void Emit<TData>(string name, TData? data)
        where TData : class, IQapiOutput
    {
    }

    private static string[] Lines(string text) =>
        [.. text.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries)))];

    private string Uri(string export) => $"nbd+unix:///{export}?socket={_directory.File("s")}";

    private void Turn(Action action) => _loop.Run(static a => a(), action);
}
