using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;
using static Conformance.MalformedImage;

namespace Conformance;

/// <summary>Damage that is met by a request, not at open: BLOCK_IMAGE_CORRUPTED says the same as QEMU's, member for member, and marks the image alike.</summary>
public sealed class DamagedImageTests
{
    /// <summary>QEMU's own assertions fail for some images.</summary>
    private const string Died = "died";

    private const ulong Copied = 1UL << 63;
    private const int RefcountTable = 0x1_0000;
    private const int RefcountBlock = 0x2_0000;
    private const int L1 = 0x3_0000;
    private const int L2 = 0x4_0000;
    private const ulong Data = 0x5_0000;

    private static readonly string[] s_reads = ["read 0 64k"];
    private static readonly string[] s_writes = ["write 0 64k"];
    private static readonly string[] s_transfers = ["read 0 64k", "write 0 4k", "write 4k 64k", "read 64k 64k"];
    private static readonly string[] s_all = [.. s_transfers, "write -z 0 64k", "discard 0 64k"];

    [TestCase(true)]
    [TestCase(false)]
    public async Task The_event_is_that_of_the_real_thing(bool readOnly)
    {
        using var whole = new TemporaryDirectory();
        MalformedImages.MakeWholeImages(whole);
        Tool.Run("bash", "-ec", $"cd {whole.Path}; for i in v2 extended data-file; do qemu-io -f qcow2 -c 'write -P 1 0 300k' $i >/dev/null; done");
        List<string> ours = await UseAllAsync(whole, Repository.Daemon, readOnly);
        List<string> theirs = await UseAllAsync(whole, "qemu-system-x86_64", readOnly, "-machine", "none", "-nodefaults", "-display", "none");
        IEnumerable<string> differences =
            from image in Damages().Zip(ours, theirs)
            where image.Second != image.Third && image.Third != Died && !IsBetter(image.First.Image, image.First.Requests[0], image.Second)
            select $"{image.First.Image}: {string.Join("; ", image.First.Requests)}\n  theirs {image.Third}\n  ours   {image.Second}";
        Assert.That(string.Join('\n', differences), Is.Empty);
        Assert.That(ours.Count(answer => answer.Contains("node-name", StringComparison.Ordinal)), Is.GreaterThan(10));
    }

    private static IEnumerable<(MalformedImage Image, string[] Requests)> Damages() =>
    [
        .. Each(Field("plain", "data entry", L2, 8, Copied | (Data + 0x200)), s_all),
        .. Each(Field("plain", "zero entry", L2, 8, Copied | (Data + 0x201)), s_all),
        .. Each(Field("plain", "entry of nothing", L2, 8, 0x200), s_all),
        .. Each(Field("v2", "zero entry", L2, 8, Copied | Data | 1), s_all),
        .. Each(Field("v2", "plain zero entry", L2, 8, 1), s_all),
        .. Each(Field("plain", "L1 entry", L1, 8, Copied | (L2 + 0x200)), s_all),
        .. Each(Field("plain", "shared L1 entry", L1, 8, L2 + 0x200), s_all),
        .. new ulong[] { RefcountTable, RefcountBlock, L1, L2 }.SelectMany(place => Each(Field("plain", "data entry", L2, 8, Copied | place), s_all)),
        .. new ulong[] { RefcountTable, RefcountBlock, L1 }.SelectMany(place => Each(Field("plain", "L1 entry", L1, 8, Copied | place), s_writes)),
        .. Each(Field("plain", "refcount table entry", RefcountTable, 8, RefcountBlock + 0x200), ["write 1M 64k", "discard 0 64k", "read 0 64k"]),
        .. Enumerable.Range(0, 5).SelectMany(cluster => Each(Field("plain", $"refcount of cluster {cluster}", RefcountBlock + (cluster * 2), 2, 0), ["write 1M 64k"])),
        .. Each(Field("plain", "refcount of a data cluster", RefcountBlock + 10, 2, 0), ["write 1M 64k", "discard 0 64k"]),
        .. Each(Field("plain", "compressed entry", L2, 8, (1UL << 62) | 0x50000), ["read 0 64k", "write 0 4k", "discard 0 64k"]),
        .. Each(Field("plain", "compressed entry beyond the file", L2, 8, (1UL << 62) | 0x5000_0000), ["read 0 64k", "write 0 4k", "discard 0 64k"]),
        .. Each(new MalformedImage("extended", "bitmap that contradicts itself", image => SpoilBitmap(image)), ["read 0 16k", "write 0 4k", "write -z 0 16k", "discard 0 16k"]),
        .. Each(Field("data-file", "another place", L2, 8, Copied | 0x1_0000), s_all),
        .. Each(Field("data-file", "an unaligned place", L2, 8, Copied | 0x200), s_all),
        .. Each(Field("data-file", "compressed entry", L2, 8, (1UL << 62) | 0x50000), s_all),
    ];

    /// <summary>
    /// Zeroing and discarding look at the entry first; QEMU gives back what it points at, metadata too, or what counts as free already. A
    /// data file is not written at a place that its reader would refuse. Of two structures at one place another is named.
    /// </summary>
    private static bool IsBetter(MalformedImage image, string request, string ours) =>
        ours.Contains("fatal: true", StringComparison.Ordinal)
        && (request.StartsWith("discard", StringComparison.Ordinal)
            || request.StartsWith("write -z", StringComparison.Ordinal)
            || image.What.StartsWith("another place", StringComparison.Ordinal)
            || image.What == $"L1 entry {Copied | RefcountBlock:x}");

    private static IEnumerable<(MalformedImage Image, string[] Requests)> Each(MalformedImage image, string[] requests) =>
        requests.Select(request => (image, new[] { request, request }));

    /// <summary>The first entry says of each subcluster that it is allocated and zero.</summary>
    private static byte[] SpoilBitmap(byte[] image)
    {
        long l1 = System.Buffers.Binary.BinaryPrimitives.ReadInt64BigEndian(image.AsSpan(40));
        long l2 = System.Buffers.Binary.BinaryPrimitives.ReadInt64BigEndian(image.AsSpan((int)l1)) & 0xFFFF_FFFF;
        image.AsSpan((int)l2 + 8, 8).Fill(255);
        return image;
    }

    private static async Task<List<string>> UseAllAsync(TemporaryDirectory whole, string program, bool readOnly, params string[] arguments)
    {
        using var directory = new TemporaryDirectory();
        DaemonProcess daemon = DaemonProcess.Start(program, directory, arguments);
        QmpTestClient qmp = await daemon.ConnectAsync();
        var answers = new List<string>();
        foreach ((MalformedImage image, string[] requests) in Damages())
        {
            File.Copy(whole.File("data"), directory.File("data"), overwrite: true);
            await File.WriteAllBytesAsync(directory.File("image"), image.Spoil(await File.ReadAllBytesAsync(whole.File(image.Whole))));
            answers.Add(await UseAsync(qmp, image, directory.File("image"), readOnly, requests));
            if (answers[^1] == Died)
            {
                qmp.Dispose();
                await daemon.DisposeAsync();
                daemon = DaemonProcess.Start(program, directory, arguments);
                qmp = await daemon.ConnectAsync();
            }
        }

        qmp.Dispose();
        await daemon.DisposeAsync();
        return answers;
    }

    /// <summary>Opens an image, sends requests through the human monitor, closes it.</summary>
    /// <returns>The events, and whether it is marked corrupt now.</returns>
    private static async Task<string> UseAsync(QmpTestClient qmp, MalformedImage image, string path, bool readOnly, string[] requests)
    {
        await qmp.ExecuteAsync("blockdev-add", image.Options(path, readOnly));
        try
        {
            foreach (string request in requests)
            {
                await qmp.ExecuteAsync("human-monitor-command", new JsonObject { ["command-line"] = $"qemu-io q \"{request}\"" });
            }

            await qmp.ExecuteAsync("blockdev-del", """{"node-name": "q"}""");
        }
        catch (AssertionException e) when (e.InnerException is System.Threading.Channels.ChannelClosedException)
        {
            return Died;
        }

        IEnumerable<string> events = qmp.TakeEvents().Where(e => (string?)e["event"] == "BLOCK_IMAGE_CORRUPTED")
            .Select(e => string.Join(", ", e["data"]!.AsObject().OrderBy(m => m.Key, StringComparer.Ordinal).Select(m => $"{m.Key}: {m.Value?.ToJsonString().Replace("  ", " ", StringComparison.Ordinal)}")));
        byte[] left = await File.ReadAllBytesAsync(path);
        return string.Join(" | ", events.Append($"corrupt: {left[7] >= 3 && (left[79] & 2) != 0}"));
    }
}
