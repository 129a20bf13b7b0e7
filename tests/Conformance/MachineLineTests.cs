using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Command lines of an emulator that cannot be followed, beside qemu-system-x86_64.</summary>
public sealed class MachineLineTests
{
    [TestCase("-drive if=none,index=1,bus=1,driver=null-co")]
    [TestCase("-drive if=none,index=0,unit=0,driver=null-co")]
    [TestCase("-device ide-hd")]
    [TestCase("-device virtio-blk-pci")]
    [TestCase("-device virtio-blk-pci,drive=d,logical_block_size=4096")]
    [TestCase("-device virtio-blk-pci,drive=d,logical_block_size=4096,physical_block_size=4096,min_io_size=512")]
    [TestCase("-device virtio-blk-pci,drive=d,logical_block_size=4096,physical_block_size=4096,discard_granularity=512")]
    [TestCase("-device ide-hd,drive=d,opt_io_size=100")]
    [TestCase("-device virtio-blk-pci,drive=d,id=x -device virtio-blk-pci,drive=d,id=x")]
    [TestCase("-uuid x")]
    [TestCase("-name x,y=z")]
    public void Both_refuse_it_alike(string line)
    {
        string[] words = ["-machine", "pc", "-nodefaults", "-display", "none", "-drive", "if=none,id=d,driver=null-co", .. line.Split(' ')];
        ToolResult theirs = Tool.Try("qemu-system-x86_64", words);
        ToolResult ours = Tool.Try(Repository.Daemon, words);
        Assert.That(theirs.ExitCode, Is.EqualTo(1), "the line is not wrong");
        Assert.That(ours.ExitCode, Is.EqualTo(1));
        Assert.That(FirstLine(ours.Error), Is.EqualTo(FirstLine(theirs.Error.Replace("qemu-system-x86_64", "qmp-monitor", StringComparison.Ordinal))));
    }

    private static string FirstLine(string text) => text.Split('\n').First(line => !line.StartsWith("20", StringComparison.Ordinal));
}
