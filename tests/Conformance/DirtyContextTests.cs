using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>The contexts <c>qemu:dirty-bitmap:</c> of one export, read by a real client while a guest writes.</summary>
/// <remarks>
/// An answer shows each bitmap as it was at one instant not before the question: every write acknowledged before the question is in it,
/// and of writes made one after the other it never shows a later one without those before it.
/// </remarks>
public sealed class DirtyContextTests
{
    private const int Granularity = 4096;
    private const int Pairs = 4_000;
    private const long LowerEnd = 2L * Pairs * Granularity;

    /// <summary>Between the halves every second granule is dirty from the start, so that a walk over them takes its time.</summary>
    private const int Between = 5_000;
    private const long UpperStart = LowerEnd + (2L * Between * Granularity);
    private const long Size = UpperStart + LowerEnd;

    [Test]
    public async Task Several_bitmaps_are_read_consistently_while_the_guest_writes()
    {
        using var directory = new TemporaryDirectory();
        string nbd = directory.File("nbd");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", directory.File("disk"), $"{Size}");
        await using DaemonProcess daemon = DaemonProcess.Start(
            directory,
            "--blockdev", $"driver=qcow2,node-name=d,file.driver=file,file.filename={directory.File("disk")}",
            "--nbd-server", $"addr.type=unix,addr.path={nbd}");
        using QmpTestClient qmp = await daemon.ConnectAsync();
        (string Name, int Granularity)[] bitmaps = [("fine", Granularity), ("coarse", 2 * Granularity), ("stored", Granularity)];
        foreach ((string name, int granularity) in bitmaps)
        {
            await qmp.ExecuteAsync(
                "block-dirty-bitmap-add",
                $$"""{"node": "d", "name": "{{name}}", "granularity": {{granularity}}, "persistent": {{(name == "stored" ? "true" : "false")}}}""");
        }

        await qmp.ExecuteAsync(
            "block-export-add", """{"type": "nbd", "id": "e", "node-name": "d", "writable": true, "bitmaps": ["fine", "coarse", "stored"]}""");
        WriteEverySecond(nbd, LowerEnd, Between);
        int written = 0;
        var guest = new Thread(() => WriteInOrder(nbd, count => Volatile.Write(ref written, count)));
        guest.Start();
        for (bool isLast = false; !isLast;)
        {
            isLast = !guest.IsAlive;
            foreach ((string name, int granularity) in bitmaps)
            {
                int before = Volatile.Read(ref written);
                List<(long Offset, long Length)> ranges = DirtyMap.Read(nbd, "d", name);
                long lower = DirtyBytes(ranges, 0, LowerEnd) / granularity;
                long upper = DirtyBytes(ranges, UpperStart, Size) / granularity;
                Assert.That(DirtyBytes(ranges, LowerEnd, UpperStart) / granularity, Is.EqualTo(Between), name);
                Assert.That(upper, Is.AtLeast(before), name);
                Assert.That(lower, Is.AtLeast(upper).And.AtMost(upper + 1), name);
            }
        }

        guest.Join();
        Assert.That(written, Is.EqualTo(Pairs));
    }

    private static long DirtyBytes(List<(long Offset, long Length)> ranges, long start, long end) =>
        ranges.Sum(range => Math.Max(0, Math.Min(range.Offset + range.Length, end) - Math.Max(range.Offset, start)));

    private static void WriteEverySecond(string nbd, long start, int count)
    {
        using var client = new NbdTestClient(nbd, "d");
        byte[] data = new byte[512];
        for (int i = 0; i < count; i++)
        {
            Assert.That(client.Write(start + (2L * i * Granularity), data), Is.Zero);
        }
    }

    /// <summary>Every second granule of the lower half, each followed by its partner in the upper half, one when the one before is acknowledged.</summary>
    private static void WriteInOrder(string nbd, Action<int> acknowledged)
    {
        using var client = new NbdTestClient(nbd, "d");
        byte[] data = new byte[512];
        for (int i = 0; i < Pairs; i++)
        {
            if (client.Write(2L * i * Granularity, data) == 0 && client.Write(UpperStart + (2L * i * Granularity), data) == 0)
            {
                acknowledged(i + 1);
            }
        }
    }
}
