using System.Text.Json;
using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Drivers.File;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Interop;

/// <summary>Bitmaps that one side stored in a qcow2 image and the other loads, bit for bit: compared by the storage daemon's own hash.</summary>
public sealed class PersistentBitmapTests
{
    private string _image = null!;

    [SetUp]
    public void MakeImage()
    {
        _image = Path.Combine(Path.GetTempPath(), $"bitmaps-{Guid.NewGuid():N}.qcow2");
    }

    [TearDown]
    public void RemoveImage() => File.Delete(_image);

    [TestCase("65536")]
    [TestCase("512")]
    public async Task What_qemu_stored_we_load(string clusterSize)
    {
        QemuTool.Run("qemu-img", "create", "-q", "-f", "qcow2", "-o", $"cluster_size={clusterSize}", _image, "100M");
        QemuTool.Run("qemu-img", "bitmap", "--add", "-g", "65536", _image, "b0");
        QemuTool.Run("qemu-img", "bitmap", "--add", "-g", "512", _image, "fine");
        QemuTool.Run("qemu-img", "bitmap", "--add", "-g", "1M", _image, "coarse");
        QemuTool.Run("qemu-io", "-c", "write 1M 70k", "-c", "write 50M 3M", "-c", "write 99M 1M", _image);
        QemuTool.Run("qemu-img", "bitmap", "--disable", _image, "coarse");
        QemuTool.Run("qemu-io", "-c", "write 77777k 1k", _image);
        Dictionary<string, string> expected = QemuTool.BitmapHashes(_image, "b0", "fine", "coarse");

        Qcow2Node node = await OpenAsync();
        Assert.That(node.Bitmaps.List().Select(info => (info.Name, info.Granularity, info.Recording, info.Persistent)), Is.EqualTo(new[]
        {
            ("coarse", 1048576u, false, true), ("fine", 512u, true, true), ("b0", 65536u, true, true),
        }));
        Assert.That(Hashes(node), Is.EquivalentTo(expected));
        await CloseAsync(node);
        Assert.That(QemuTool.BitmapHashes(_image, "b0", "fine", "coarse"), Is.EquivalentTo(expected));
        QemuTool.Run("qemu-img", "check", _image);
    }

    [TestCase("65536")]
    [TestCase("512")]
    public async Task What_we_stored_qemu_loads_and_its_check_is_clean(string clusterSize)
    {
        QemuTool.Run("qemu-img", "create", "-q", "-f", "qcow2", "-o", $"cluster_size={clusterSize}", _image, "100M");
        Qcow2Node node = await OpenAsync();
        node.Bitmaps.Add("b0", 65536, persistent: true);
        node.Bitmaps.Add("fine", 512, persistent: true);
        node.Bitmaps.Add("off", 4096, persistent: true, disabled: true);
        node.Bitmaps.Add("not kept", 4096);
        byte[] data = new byte[3 << 20];
        Array.Fill(data, (byte)0x5a);
        await node.WriteAsync(20 << 20, data);
        await node.WriteAsync(99 << 20, data.AsMemory(0, 1000));
        Dictionary<string, string> expected = Hashes(node);
        expected.Remove("not kept");
        await CloseAsync(node);

        QemuTool.Run("qemu-img", "check", _image);
        Assert.That(Listed(), Is.EqualTo(new[] { ("off", 4096, ""), ("fine", 512, "auto"), ("b0", 65536, "auto") }));
        Assert.That(QemuTool.BitmapHashes(_image, "b0", "fine", "off"), Is.EquivalentTo(expected));
    }

    [Test]
    public async Task While_we_are_open_qemu_sees_them_in_use_and_after_all_are_removed_none()
    {
        QemuTool.Run("qemu-img", "create", "-q", "-f", "qcow2", _image, "10M");
        QemuTool.Run("qemu-img", "bitmap", "--add", _image, "b0");
        QemuTool.Run("qemu-img", "bitmap", "--add", "--disable", _image, "b1");
        Qcow2Node node = await OpenAsync();
        Assert.That(Listed(), Is.EqualTo(new[] { ("b0", 65536, "in-use auto"), ("b1", 65536, "in-use") }));
        foreach (string name in new[] { "b0", "b1" })
        {
            DirtyBitmap bitmap = node.Bitmaps.Find(name);
            node.Bitmaps.PrepareRemove(bitmap);
            node.Bitmaps.Release(bitmap);
            await node.Bitmaps.Store!.RemoveGoneAsync();
        }

        await CloseAsync(node);
        Assert.That(Listed(), Is.Empty);
        QemuTool.Run("qemu-img", "check", _image);
    }

    private static Dictionary<string, string> Hashes(Qcow2Node node) =>
        node.Bitmaps.Named().ToDictionary(bitmap => bitmap.Name!, node.Bitmaps.Sha256);

    private static async Task CloseAsync(Qcow2Node node)
    {
        BlockNode file = node.FindChild(BlockChildRole.Primary)!.Node;
        await node.CloseAsync();
        await file.CloseAsync();
    }

    private async Task<Qcow2Node> OpenAsync()
    {
        var file = new FileNode(new BlockNodeSettings { NodeName = "f" }, _image, locking: false);
        await file.OpenAsync();
        var node = new Qcow2Node(new BlockNodeSettings { NodeName = "q" }, null, new NoEvents());
        var edge = new BlockChild(node, file, "file", BlockChildRole.Image);
        node.AddChild(edge);
        file.AddParent(edge);
        await node.OpenAsync();
        return node;
    }

    private List<(string Name, int Granularity, string Flags)> Listed()
    {
        using JsonDocument info = JsonDocument.Parse(QemuTool.Run("qemu-img", "info", "-U", "--output=json", _image));
        JsonElement data = info.RootElement.GetProperty("format-specific").GetProperty("data");
        return !data.TryGetProperty("bitmaps", out JsonElement bitmaps) ? [] :
        [
            .. bitmaps.EnumerateArray().Select(bitmap => (
                bitmap.GetProperty("name").GetString()!,
                bitmap.GetProperty("granularity").GetInt32(),
                string.Join(' ', bitmap.GetProperty("flags").EnumerateArray().Select(flag => flag.GetString())))),
        ];
    }

    private sealed class NoEvents : IEventSink
    {
        public void Emit<TData>(string name, TData? data)
            where TData : class, IQapiOutput
        {
        }
    }
}
