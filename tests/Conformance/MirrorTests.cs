using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Mirrors between real images, compared by the real qemu-img.</summary>
public sealed class MirrorTests
{
    private const long SizeBytes = 64 << 20;

    [Test]
    public async Task A_full_mirror_of_a_sparse_source_overwrites_a_target_full_of_ones(
        [Values("raw", "qcow2")] string sourceFormat, [Values("raw", "qcow2")] string targetFormat, [Values("background", "write-blocking")] string copyMode)
    {
        using var directory = new TemporaryDirectory();
        string source = directory.File("source");
        string target = directory.File("target");
        Tool.Run("qemu-img", "create", "-q", "-f", sourceFormat, source, $"{SizeBytes}");
        Tool.Run("qemu-io", "-f", sourceFormat, "-c", "write -P 1 1M 64k", "-c", "write -P 2 33M 100k", "-c", "write -z 40M 1M", "-c", "write -P 3 67108352 512", source);
        Tool.Run("qemu-img", "create", "-q", "-f", targetFormat, target, $"{SizeBytes}");
        Tool.Run("qemu-io", "-f", targetFormat, "-c", $"write -P 255 0 {SizeBytes}", target);

        await using DaemonProcess daemon = DaemonProcess.Start(
            directory,
            "--blockdev", $"driver={sourceFormat},node-name=s,file.driver=file,file.filename={source}",
            "--blockdev", $"driver={targetFormat},node-name=t,file.driver=file,file.filename={target}");
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await qmp.ExecuteAsync("blockdev-mirror", $$"""{"job-id": "m", "device": "s", "target": "t", "sync": "full", "copy-mode": "{{copyMode}}"}""");
        await qmp.WaitEventAsync("BLOCK_JOB_READY");
        await qmp.ExecuteAsync("block-job-complete", """{"device": "m"}""");
        await qmp.WaitJobAsync("m", "null");
        await qmp.ExecuteAsync("quit");
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero, daemon.Error);

        Tool.Run("qemu-img", "compare", "-f", sourceFormat, "-F", targetFormat, source, target);
        if (targetFormat == "qcow2")
        {
            Tool.Run("qemu-img", "check", "-q", "-f", "qcow2", target);
        }
    }

    [Test]
    public async Task A_guest_that_writes_all_the_time_finds_its_bytes_in_the_mirror([Values("background", "write-blocking")] string copyMode)
    {
        using var directory = new TemporaryDirectory();
        string source = directory.File("source.qcow2");
        string target = directory.File("target.qcow2");
        string nbd = directory.File("nbd");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", source, $"{SizeBytes}");
        Tool.Run("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 48M", source);
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", target, $"{SizeBytes}");
        await using DaemonProcess daemon = DaemonProcess.Start(
            directory,
            "--blockdev", $"driver=qcow2,node-name=s,file.driver=file,file.filename={source}",
            "--blockdev", $"driver=qcow2,node-name=t,file.driver=file,file.filename={target}",
            "--nbd-server", $"addr.type=unix,addr.path={nbd}",
            "--export", "type=nbd,id=e,node-name=s,writable=on");
        using QmpTestClient qmp = await daemon.ConnectAsync();

        byte[] twin = new byte[SizeBytes];
        twin.AsSpan(0, 48 << 20).Fill(9);
        using var stop = new CancellationTokenSource();
        Task guest = Task.Factory.StartNew(() => WriteUntil(nbd, twin, stop.Token), TaskCreationOptions.LongRunning);
        await qmp.ExecuteAsync("blockdev-mirror", $$"""{"job-id": "m", "device": "s", "target": "t", "sync": "full", "copy-mode": "{{copyMode}}"}""");
        await qmp.WaitEventAsync("BLOCK_JOB_READY");
        await qmp.ExecuteAsync("block-job-complete", """{"device": "m"}""");
        await qmp.WaitJobAsync("m", "null");
        await stop.CancelAsync();
        await guest;
        await qmp.ExecuteAsync("quit");
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero, daemon.Error);

        string expected = directory.File("twin.raw");
        await File.WriteAllBytesAsync(expected, twin);
        Tool.Run("qemu-img", "check", "-q", "-f", "qcow2", target);
        Tool.Run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", expected, target);
    }

    private static void WriteUntil(string nbd, byte[] twin, CancellationToken stop)
    {
        var random = new Random(11);
        using var client = new NbdTestClient(nbd, "s");
        byte[] data = new byte[200_000];
        while (!stop.IsCancellationRequested)
        {
            int length = random.Next(1, data.Length);
            int offset = random.Next(twin.Length - length);
            random.NextBytes(data.AsSpan(0, length));
            Assert.That(client.Write(offset, data.AsSpan(0, length)), Is.Zero);
            data.AsSpan(0, length).CopyTo(twin.AsSpan(offset));
        }
    }
}
