using System.Security.Cryptography;
using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>What a drive's graph must be, and the commands that change both.</summary>
/// <remarks>
/// The disk is a chain of qcow2 images, the newest on top; the device points at the top or at a filter above it. A node that an overlay
/// was put upon must never change again: its content is taken then and compared at the end, which shows writes that went to a wrong node.
/// </remarks>
/// <param name="qmp">The monitor.</param>
/// <param name="directory">Where the images are.</param>
/// <param name="isRemovable">Whether the device is a floppy drive, whose medium may change but not its size; else a disk.</param>
internal sealed class DriveModel(QmpTestClient qmp, string directory, bool isRemovable)
{
    /// <summary>Bytes that guests use; the disk is at least as long.</summary>
    public const int GuestBytes = 1 << 20;

    private const string First = "o0";
    private const string DevicePath = "/machine/peripheral/vd0";

    private readonly List<string> _chain = [First];
    private readonly List<string> _beside = [];
    private readonly Dictionary<string, byte[]> _frozen = [];
    private string? _filter;
    private long _sizeBytes = GuestBytes;
    private long _mediaChanges;
    private int _made = 1;
    private bool _hasEnded;

    /// <summary>Set when guests shall stop.</summary>
    public bool HasEnded
    {
        get => Volatile.Read(ref _hasEnded);
        set => Volatile.Write(ref _hasEnded, value);
    }

    /// <summary>How often a tray was opened or closed: odd while a medium may be missing.</summary>
    public long MediaChanges => Volatile.Read(ref _mediaChanges);

    private string Top => _chain[^1];

    private string Used => _filter ?? Top;

    /// <summary>Makes the first image, and the command line of a daemon whose device has it.</summary>
    public static string[] MakeDisk(string directory, bool isRemovable)
    {
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", $"{directory}/{First}", $"{GuestBytes}");
        return
        [
            "--object", "throttle-group,id=g", "--nbd-server", $"addr.type=unix,addr.path={directory}/nbd",
            "--blockdev", $"qcow2,node-name={First},file.driver=file,file.filename={directory}/{First}",
            "--device", "isa-fdc", "--device", $"{(isRemovable ? "floppy" : "virtio-blk-pci")},id=vd0,drive={First}",
        ];
    }

    /// <summary>Makes the export that guests use.</summary>
    public async Task ExportAsync()
    {
        await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e", "name": "guest", "device": "vd0", "writable": true}""");
    }

    /// <summary>Makes one change, or tries one that must be refused.</summary>
    /// <returns>What it was.</returns>
    public async Task<string> StepAsync(Random random)
    {
        (string Name, Func<Task> Run)[] steps =
        [
            ("add", AddBesideAsync),
            ("del", DeleteBesideAsync),
            ("reopen", () => ReopenAsync(random)),
            ("snapshot", SnapshotAsync),
            ("filter", FilterAsync),
            ("re-point", () => RepointAsync(Used)),
            ("resize", ResizeAsync),
            ("medium", ChangeMediumAsync),
            ("throttle", () => ThrottleAsync(random.Next(2) * 2000)),
            ("refused", RefuseAsync),
        ];
        var (name, run) = steps[random.Next(steps.Length)];
        await run();
        return name;
    }

    /// <summary>Compares the daemon's graph with the model.</summary>
    public async Task CheckAsync(string name)
    {
        JsonNode drive = (await qmp.ExecuteAsync("query-block"))[0]!["inserted"]!;
        JsonArray nodes = (await qmp.ExecuteAsync("query-named-block-nodes")).AsArray();
        IEnumerable<string> named = nodes.Select(node => (string)node!["node-name"]!).Where(node => node[0] != '#');
        IEnumerable<string> filter = _filter is null ? [] : [_filter];
        JsonNode top = nodes.First(node => (string)node!["node-name"]! == Top)!;
        Assert.Multiple(() =>
        {
            Assert.That((string?)drive["node-name"], Is.EqualTo(Used), name);
            Assert.That((int)top["backing_file_depth"]!, Is.EqualTo(_chain.Count - 1), name);
            Assert.That((long)top["image"]!["virtual-size"]!, Is.EqualTo(_sizeBytes), name);
            Assert.That(named, Is.EquivalentTo([.. _chain, .. _beside, .. filter]), name);
        });
    }

    /// <summary>Compares the nodes below overlays with what they held when the overlay came.</summary>
    public async Task CheckFrozenAsync(string name)
    {
        foreach (var (node, content) in _frozen)
        {
            Assert.That(await HashAsync(node), Is.EqualTo(content), $"{name}, node {node}");
        }
    }

    private async Task AddImageAsync()
    {
        string node = $"o{_made++}";
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", $"{directory}/{node}", $"{_sizeBytes}");
        await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "qcow2", "node-name": "{{node}}", "backing": null, "file": {{FileOf(node)}} }""");
        _chain.Add(node);
    }

    private string FileOf(string node) => $$"""{"driver": "file", "filename": "{{directory}}/{{node}}"}""";

    private async Task AddBesideAsync()
    {
        string node = $"x{_made++}";
        await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "null-co", "node-name": "{{node}}", "read-zeroes": true}""");
        _beside.Add(node);
    }

    private async Task DeleteBesideAsync()
    {
        if (_beside.Count > 0)
        {
            await qmp.ExecuteAsync("blockdev-del", $$"""{"node-name": "{{_beside[0]}}"}""");
            _beside.RemoveAt(0);
        }
    }

    private Task ReopenAsync(Random random)
    {
        string discard = random.Next(2) == 0 ? "unmap" : "ignore";
        string detect = random.Next(2) == 0 ? "on" : "off";
        string backing = _chain.Count > 1 ? $"\"{_chain[^2]}\"" : "null";
        return qmp.ExecuteAsync("blockdev-reopen", $$"""
            {"options": [{"driver": "qcow2", "node-name": "{{Top}}", "discard": "{{discard}}", "detect-zeroes": "{{detect}}", "backing": {{backing}}, "file": {{FileOf(Top)}} }]}
            """);
    }

    private async Task SnapshotAsync()
    {
        string below = Top;
        await AddImageAsync();
        await qmp.ExecuteAsync("blockdev-snapshot", $$"""{"node": "{{below}}", "overlay": "{{Top}}"}""");
        _frozen.Add(below, await HashAsync(below));
    }

    /// <summary>Puts a filter above the disk, with the device, or takes it away.</summary>
    private async Task FilterAsync()
    {
        if (_filter is null)
        {
            _filter = $"f{_made++}";
            await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "throttle", "node-name": "{{_filter}}", "throttle-group": "g", "file": "{{Top}}"}""");
            await RepointAsync(_filter);
            return;
        }

        await RepointAsync(Top);
        await qmp.ExecuteAsync("blockdev-del", $$"""{"node-name": "{{_filter}}"}""");
        _filter = null;
    }

    private Task RepointAsync(string node) =>
        qmp.ExecuteAsync("qom-set", $$"""{"path": "{{DevicePath}}", "property": "drive", "value": "{{node}}"}""");

    private Task ResizeAsync()
    {
        string larger = $$"""{"node-name": "{{Top}}", "size": {{_sizeBytes + 65536}} }""";
        if (isRemovable)
        {
            return qmp.FailAsync("block_resize", larger);
        }

        _sizeBytes += 65536;
        return qmp.ExecuteAsync("block_resize", larger);
    }

    private async Task ChangeMediumAsync()
    {
        if (!isRemovable)
        {
            await qmp.FailAsync("blockdev-remove-medium", """{"id": "vd0"}""");
            return;
        }

        Interlocked.Increment(ref _mediaChanges);
        await qmp.ExecuteAsync("blockdev-open-tray", """{"id": "vd0"}""");
        await qmp.ExecuteAsync("blockdev-remove-medium", """{"id": "vd0"}""");
        await qmp.ExecuteAsync("blockdev-insert-medium", $$"""{"id": "vd0", "node-name": "{{Used}}"}""");
        await qmp.ExecuteAsync("blockdev-close-tray", """{"id": "vd0"}""");
        Interlocked.Increment(ref _mediaChanges);
    }

    private Task ThrottleAsync(int iops) => qmp.ExecuteAsync(
        "block_set_io_throttle",
        $$"""{"id": "{{(isRemovable ? "vd0" : $"{DevicePath}/virtio-backend")}}", "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": {{iops}}, "iops_rd": 0, "iops_wr": 0}""");

    /// <summary>What must be refused and change nothing.</summary>
    private async Task RefuseAsync()
    {
        await qmp.FailAsync("blockdev-del", $$"""{"node-name": "{{Top}}"}""");
        await qmp.FailAsync("blockdev-add", $$"""{"driver": "null-co", "node-name": "{{Top}}"}""");
        await qmp.FailAsync("blockdev-snapshot", $$"""{"node": "{{Top}}", "overlay": "{{Top}}"}""");
        await qmp.FailAsync("qom-set", $$"""{"path": "{{DevicePath}}", "property": "drive", "value": "nosuch"}""");
        await qmp.FailAsync("blockdev-insert-medium", $$"""{"id": "vd0", "node-name": "{{Top}}"}""");
        await qmp.FailAsync("blockdev-reopen", $$"""{"options": [{"driver": "qcow2", "node-name": "{{Top}}", "file": "nosuch"}]}""");
    }

    private async Task<byte[]> HashAsync(string node)
    {
        await qmp.ExecuteAsync("block-export-add", $$"""{"type": "nbd", "id": "h", "name": "h", "node-name": "{{node}}"}""");
        byte[] content = new byte[GuestBytes];
        using (var client = new NbdTestClient($"{directory}/nbd", "h"))
        {
            Assert.That(client.Read(0, content), Is.Zero);
        }

        await qmp.ExecuteAsync("block-export-del", """{"id": "h", "mode": "hard"}""");
        await qmp.WaitEventAsync("BLOCK_EXPORT_DELETED");
        return SHA256.HashData(content);
    }
}
