using NUnit.Framework;
using Testing;

namespace Faults;

/// <summary>A disk that is full: what QEMU says, nothing broken, nothing kept of what could not be had wholly.</summary>
public sealed class FullDiskTests
{
    private const string Full = "No space left on device";

    private TemporaryDirectory _directory = null!;
    private DaemonProcess _daemon = null!;
    private QmpTestClient _client = null!;

    private string Disk => _directory.File("disk");

    [SetUp]
    public async Task StartAsync()
    {
        _directory = new TemporaryDirectory();
        Directory.CreateDirectory(Disk);
        if (Tool.Run("sh", "-c", $"mount -t tmpfs -o size=2m tmpfs '{Disk}' 2>/dev/null && echo yes; true").Length == 0)
        {
            Assert.Ignore("This user may not mount a small filesystem.");
        }

        _daemon = DaemonProcess.Start(_directory);
        _client = await _daemon.ConnectAsync();
    }

    [TearDown]
    public async Task StopAsync()
    {
        _client?.Dispose();
        if (_daemon is not null)
        {
            await _daemon.DisposeAsync();
        }

        Tool.Run("sh", "-c", $"umount -l '{Disk}' 2>/dev/null; true");
        _directory.Dispose();
    }

    [TestCase("falloc", "Could not preallocate new data")]
    [TestCase("full", "Could not write zeros for preallocation")]
    public async Task Space_that_is_not_there_is_refused_and_all_of_it_stays_free(string mode, string what)
    {
        string raw = $$"""{"driver":"file","filename":"{{Disk}}/raw","size":8388608,"preallocation":"{{mode}}"}""";
        Assert.That(await CreateAsync(raw), Is.EqualTo($"{what}: {Full}"));
        Assert.That(new FileInfo($"{Disk}/raw").Length, Is.Zero);
        Assert.That(await CreateAsync(raw.Replace("8388608", "1048576", StringComparison.Ordinal)), Is.Null);
        File.Delete($"{Disk}/raw");

        Assert.That(await CreateAsync($$"""{"driver":"file","filename":"{{Disk}}/image","size":0}"""), Is.Null);
        await _client.ExecuteAsync("blockdev-add", $$"""{"driver":"file","node-name":"f","filename":"{{Disk}}/image"}""");
        string image = $$"""{"driver":"qcow2","file":"f","size":8388608,"preallocation":"{{mode}}"}""";
        Assert.That(await CreateAsync(image), Is.EqualTo($"Could not resize image: Failed to resize underlying file: {what}: {Full}"));
        Assert.That(new FileInfo($"{Disk}/image").Length, Is.LessThan(512 * 1024));
        Assert.That(await CreateAsync(image.Replace("8388608", "1048576", StringComparison.Ordinal)), Is.Null);
        await _client.ExecuteAsync("blockdev-del", """{"node-name":"f"}""");
        Tool.Run("qemu-img", "check", $"{Disk}/image");
    }

    /// <summary>Creates an image.</summary>
    /// <returns>The job's error, if it failed.</returns>
    private async Task<string?> CreateAsync(string options)
    {
        await _client.ExecuteAsync("blockdev-create", $$"""{"job-id":"j","options":{{options}}}""");
        await _client.WaitEventAsync("JOB_STATUS_CHANGE", data => (string?)data["status"] == "concluded");
        string? error = (string?)(await _client.ExecuteAsync("query-jobs"))![0]!["error"];
        await _client.ExecuteAsync("job-dismiss", """{"id":"j"}""");
        return error;
    }
}
