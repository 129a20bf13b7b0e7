using System.Diagnostics;
using Monitor.Block;
using Monitor.Block.Drivers.File;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Drivers;

/// <summary>A block device of the host: a loop device over a file. Where the machine gives none the tests say so and are counted as skipped.</summary>
[NonParallelizable]
public sealed class HostDeviceNodeTests : DriverContract
{
    private TemporaryFile _file = null!;
    private string _device = "";

    protected override bool CanResize => false;

    protected override int ResizeErrno => Errno.EINVAL;

    [SetUp]
    public void MakeDevice()
    {
        _file = new TemporaryFile(SizeBytes);
        _device = Losetup("--find", "--show", _file.Name);
        if (_device.Length == 0)
        {
            _file.Dispose();
            Assert.Ignore("losetup gives no loop device here: run as root, with /dev/loop-control");
        }
    }

    [TearDown]
    public void RemoveDevice()
    {
        if (_device.Length > 0)
        {
            Losetup("--detach", _device);
        }

        _file.Dispose();
    }

    [Test]
    public async Task What_was_written_and_flushed_is_on_the_device()
    {
        BlockNode node = await OpenAsync();
        await node.WriteAsync(5000, Filled(300, 0x5a));
        await node.FlushAsync();
        await node.CloseAsync();

        byte[] content = await File.ReadAllBytesAsync(_file.Name);
        Assert.That(HoldsOnly(content.AsSpan(5000, 300), 0x5a));
    }

    [Test]
    public void A_regular_file_is_refused() =>
        Assert.That(
            () => new FileNode(Settings(), _file.Name, isDevice: true).OpenAsync(),
            Throws.TypeOf<QmpException>().With.Message.EqualTo($"'host_device' driver requires '{_file.Name}' to be either a character or block device"));

    protected override async ValueTask<BlockNode> OpenAsync(BlockNodeSettings settings)
    {
        var node = new FileNode(settings, _device, isDevice: true);
        await node.OpenAsync();
        return node;
    }

    /// <summary>Runs losetup.</summary>
    /// <returns>What it prints; nothing when it fails or is not there.</returns>
    private static string Losetup(params string[] arguments)
    {
        try
        {
            using Process tool = Process.Start(new ProcessStartInfo("losetup", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            string output = tool.StandardOutput.ReadToEnd().Trim();
            tool.WaitForExit();
            return tool.ExitCode == 0 ? output : "";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "";
        }
    }
}
