using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>A client that others wrote for QEMU, taken from the npm registry as it is, finds what it expects.</summary>
public sealed class NodeClientTests
{
    [Test]
    public async Task The_client_of_the_npm_registry_sees_no_difference()
    {
        using var directory = new TemporaryDirectory();
        string source = Path.Combine(Repository.Root, "tests", "Conformance", "NodeClient");
        foreach (string file in new[] { "client.js", "package.json", "package-lock.json" })
        {
            File.Copy(Path.Combine(source, file), directory.File(file));
        }

        Tool.Run("npm", "ci", "--prefix", directory.Path, "--no-audit", "--no-fund", "--silent");

        string[] ours = await DriveAsync(Repository.Daemon, directory);
        string[] theirs = await DriveAsync("qemu-system-x86_64", directory, "-nodefaults", "-display", "none", "-machine", "none");
        Assert.That(ours, Is.EqualTo(theirs));
        Assert.That(ours[0], Does.StartWith("version {\"major\":7,\"micro\":22,\"minor\":2}"));
        Assert.That(ours, Does.Contain("event \"SHUTDOWN\"").And.Contain("quit {}"));
        Assert.That(ours[^1], Does.StartWith("closed "));
    }

    private static async Task<string[]> DriveAsync(string program, TemporaryDirectory directory, params string[] arguments)
    {
        await using DaemonProcess daemon = DaemonProcess.Start(program, directory, arguments);
        (await daemon.ConnectAsync()).Dispose();
        string output = Tool.Run("node", "--no-deprecation", directory.File("client.js"), daemon.QmpPath);
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero);
        return output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }
}
