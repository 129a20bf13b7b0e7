using System.Diagnostics;
using Monitor.Block;
using Monitor.Qapi;
using NUnit.Framework;
using Testing;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Interop;

/// <summary>Our image locks and QEMU's keep each other out, both ways.</summary>
public sealed class ImageLockTests : IEventSink
{
    /// <summary>What a guest's writable qcow2 image uses and shares of its file.</summary>
    private const BlockPermission UsedByImage = BlockPermission.ConsistentRead | BlockPermission.Write | BlockPermission.Resize;
    private const BlockPermission SharedByImage = BlockPermission.ConsistentRead | BlockPermission.WriteUnchanged;

    private TemporaryDirectory _directory = null!;
    private MonitorLoop _loop = null!;
    private BlockGraph _graph = null!;
    private string _image = null!;

    [SetUp]
    public void MakeImage()
    {
        _directory = new TemporaryDirectory();
        _image = _directory.File("disk.qcow2");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", _image, "1M");
        _loop = new MonitorLoop();
        _graph = new BlockGraph(_loop, this);
    }

    [TearDown]
    public void RemoveImage()
    {
        _loop.Dispose();
        _directory.Dispose();
    }

    [Test]
    public async Task Qemu_is_refused_what_we_do_not_share_until_we_let_go()
    {
        BlockBackend user = await UseAsync(UsedByImage, SharedByImage);

        ToolResult write = Tool.Try("qemu-io", "-f", "qcow2", "-c", "write 0 512", _image);
        ToolResult look = Tool.Try("qemu-img", "info", _image);
        ToolResult forced = Tool.Try("qemu-img", "info", "--force-share", _image);

        Assert.Multiple(() =>
        {
            Assert.That(write.ExitCode, Is.Not.Zero);
            Assert.That(write.Output + write.Error, Does.Contain("Failed to get \"write\" lock"));
            Assert.That(look.ExitCode, Is.Not.Zero);
            Assert.That(look.Error, Does.Contain("Failed to get shared \"write\" lock"));
            Assert.That(forced.ExitCode, Is.Zero);
        });
        await _loop.RunAsync(async () => await _graph.DetachRootAsync(user));
        Tool.Run("qemu-io", "-f", "qcow2", "-c", "write 0 512", _image);
    }

    [Test]
    public async Task We_are_refused_what_qemu_does_not_share_until_it_lets_go()
    {
        using (Process qemu = Hold())
        {
            Assert.That(() => UseAsync(UsedByImage, SharedByImage), Refuses("Failed to get \"write\" lock"));
            Assert.That(
                () => UseAsync(BlockPermission.ConsistentRead, BlockPermission.All & ~BlockPermission.Write),
                Refuses("Failed to get shared \"write\" lock"));
            Assert.That(await UseAsync(BlockPermission.ConsistentRead, BlockPermission.All), Is.Not.Null);
            await qemu.StandardInput.WriteLineAsync("quit");
            await qemu.WaitForExitAsync();
        }

        Assert.That(await UseAsync(UsedByImage, SharedByImage), Is.Not.Null);
    }

    public void Emit<TData>(string name, TData? data)
        where TData : class, IQapiOutput
    {
    }

    private static NUnit.Framework.Constraints.IResolveConstraint Refuses(string text) =>
        Throws.TypeOf<QmpException>().With.Message.EqualTo(text);

    /// <summary>A qemu-io that has the image open for writing.</summary>
    private Process Hold()
    {
        var start = new ProcessStartInfo("qemu-io", ["-f", "qcow2", _image]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        Process qemu = Process.Start(start)!;
        qemu.StandardInput.WriteLine("write 0 512");
        qemu.StandardInput.Flush();
        while (qemu.StandardOutput.ReadLine() is { } line && !line.Contains("wrote 512/512", StringComparison.Ordinal))
        {
        }

        return qemu;
    }

    private Task<BlockBackend> UseAsync(BlockPermission used, BlockPermission shared) => _loop.RunAsync(async () =>
    {
        var options = new BlockdevOptions { Driver = BlockdevDriver.File, Branch = new BlockdevOptionsFile { Filename = _image } };
        BlockNode file = await BlockOpener.OpenAsync(_graph, options, monitorOwned: false);
        var user = new BlockBackend();
        _graph.AttachRoot(user, file, used, shared);
        return user;
    });
}
