using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Who finds an image in use is told by both programs in the same words, a person with a hint.</summary>
public sealed class ImageInUseTests
{
    [TestCase("--blockdev driver=qcow2,node-name=n,file.driver=file,file.filename=IMAGE", "qemu-storage-daemon")]
    [TestCase("--blockdev driver=qcow2,node-name=n,file.driver=file,file.filename=OVERLAY", "qemu-storage-daemon")]
    [TestCase("-drive if=none,file=IMAGE,format=qcow2 -machine none -display none", "qemu-system-x86_64")]
    public void The_second_user_is_told_who_may_be_the_first(string line, string program)
    {
        using var directory = new TemporaryDirectory();
        string image = Path.Combine(directory.Path, "image");
        string overlay = Path.Combine(directory.Path, "overlay");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", image, "1M");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", overlay);
        string[] words = line.Replace("IMAGE", image, StringComparison.Ordinal).Replace("OVERLAY", overlay, StringComparison.Ordinal).Split(' ');
        DaemonProcess holder = DaemonProcess.Start(directory, "--blockdev", $"driver=qcow2,node-name=n,file.driver=file,file.filename={image}");
        try
        {
            holder.ConnectAsync().GetAwaiter().GetResult().Dispose();
            ToolResult theirs = Tool.Try(program, words);
            ToolResult ours = Tool.Try(Repository.Daemon, words);
            Assert.That(theirs.Error, Does.Contain("Is another process using the image"));
            Assert.That(WithoutLog(ours.Error), Is.EqualTo(theirs.Error.Replace(program, "qmp-monitor", StringComparison.Ordinal)));
            Assert.That(ours.ExitCode, Is.EqualTo(1));
        }
        finally
        {
            holder.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }

    private static string WithoutLog(string text) =>
        string.Concat(text.Split('\n').Where(line => !line.StartsWith("20", StringComparison.Ordinal) && line.Length > 0).Select(line => $"{line}\n"));
}
