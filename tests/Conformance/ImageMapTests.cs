using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Images of each feature over NBD: base:allocation as the real daemon answers it, and a snapshot's bytes.</summary>
public sealed class ImageMapTests
{
    private TemporaryDirectory _directory = null!;

    [SetUp]
    public void MakeDirectory() => _directory = new TemporaryDirectory();

    [TearDown]
    public void RemoveDirectory() => _directory.Dispose();

    [TestCase("cluster_size=4k")]
    [TestCase("compat=0.10")]
    [TestCase("extended_l2=on,cluster_size=16k")]
    [TestCase("extended_l2=on,cluster_size=64k,compression_type=zstd")]
    [TestCase("data_file=$DIR/data")]
    [TestCase("data_file=$DIR/data,data_file_raw=on")]
    [TestCase("lazy_refcounts=on,refcount_bits=1")]
    [TestCase("preallocation=full")]
    [TestCase("", "-b $DIR/below -F raw")]
    public async Task The_map_is_that_of_the_real_daemon(string options, string backing = "")
    {
        bool compresses = !options.StartsWith("data_file", StringComparison.Ordinal) && !options.StartsWith("preallocation", StringComparison.Ordinal);
        Tool.Run("bash", "-ec", $"""
            cd {_directory.Path}; qemu-img create -q -f raw below 3M; qemu-io -f raw -c 'write 1M 1M' below >/dev/null
            qemu-img create -q -f qcow2 -o '{In(options)}' {In(backing)} image 8M
            qemu-io -f qcow2 {(compresses ? "-c 'write -c -P 3 4M 64k'" : "")} -c 'write 100k 300k' -c 'write -z 200k 50k' -c 'discard 2M 1M' -c 'write 5M 3M' -c 'write -z -u 6M 64k' image >/dev/null
            """.Replace("-o ''", "", StringComparison.Ordinal));
        Assert.That(await MapAsync(Repository.Daemon), Is.EqualTo(await MapAsync("qemu-storage-daemon")));
    }

    [Test]
    public async Task A_snapshot_in_the_image_is_exported_by_name()
    {
        Tool.Run("bash", "-ec", $"""
            cd {_directory.Path}; qemu-img create -q -f qcow2 image 8M
            qemu-io -f qcow2 -c 'write -P 1 1M 2M' image >/dev/null; qemu-img snapshot -c monday image; qemu-io -f qcow2 -c 'write -P 2 0 4M' image >/dev/null
            qemu-img convert -f qcow2 -O raw -l snapshot.name=monday image monday
            """);
        await using DaemonProcess daemon = DaemonProcess.Start(_directory);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await ExportAsync(qmp, ""","x-snapshot": "monday" """);
        Tool.Run("qemu-img", "compare", "-f", "raw", "-F", "raw", Uri, _directory.File("monday"));
        Assert.That(Tool.Try("qemu-io", "-f", "raw", "-c", "write 0 64k", Uri).ExitCode, Is.Not.Zero);
    }

    private string Uri => $"nbd+unix:///q?socket={_directory.File("nbd")}";

    private string In(string text) => text.Replace("$DIR", _directory.Path, StringComparison.Ordinal);

    private async Task ExportAsync(QmpTestClient qmp, string option)
    {
        await qmp.ExecuteAsync("blockdev-add", In($$$"""{"driver": "qcow2", "node-name": "q", "read-only": true, "file": {"driver": "file", "filename": "$DIR/image"}{{{option}}}}"""));
        await qmp.ExecuteAsync("nbd-server-start", In("""{"addr": {"type": "unix", "data": {"path": "$DIR/nbd"}}}"""));
        await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e", "node-name": "q"}""");
    }

    /// <summary>The extents of base:allocation, those alike joined.</summary>
    private async Task<string> MapAsync(string program)
    {
        await using DaemonProcess daemon = DaemonProcess.Start(program, _directory);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await ExportAsync(qmp, "");
        var extents = new List<(long End, long Type)>();
        foreach (JsonNode? extent in JsonNode.Parse(Tool.Run("nbdinfo", "--map", "--json", Uri))!.AsArray())
        {
            (long end, long type) = ((long)extent!["offset"]! + (long)extent["length"]!, (long)extent["type"]!);
            if (extents.Count > 0 && extents[^1].Type == type)
            {
                extents.RemoveAt(extents.Count - 1);
            }

            extents.Add((end, type));
        }

        await qmp.ExecuteAsync("quit");
        return string.Join("; ", extents);
    }
}
