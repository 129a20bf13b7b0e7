using Monitor.Block;
using Monitor.Block.Bitmaps;
using NUnit.Framework;

namespace Interop;

/// <summary>The first bitmap of an image needs 32 bytes in a header that qemu-img made without them.</summary>
public sealed class BitmapHeaderTests
{
    private const long SizeBytes = 8 << 20;

    [Test]
    public async Task The_first_bitmap_of_an_overlay_moves_its_backing_name_and_the_last_one_gone_leaves_it([Values(512, 65536)] int clusterBytes)
    {
        using var image = new BitmapImage(SizeBytes, clusterBytes);
        string basis = image.Path + ".base";
        try
        {
            QemuTool.Run("qemu-img", "create", "-q", "-f", "qcow2", basis, $"{SizeBytes}");
            QemuTool.Run("qemu-io", "-c", "write -P 7 0 64k", basis);
            QemuTool.Run("qemu-img", "create", "-q", "-f", "qcow2", "-o", $"cluster_size={clusterBytes}", "-b", basis, "-F", "qcow2", image.Path);
            await AddAndCheckAsync(image, basis);
            QemuTool.Run("qemu-img", "bitmap", "--remove", image.Path, "b0");
            await AddAndCheckAsync(image, basis);
            await using (OpenImage open = await image.OpenAsync())
            {
                open.Bitmaps.Release(open.Bitmaps.Find("b0"));
                await open.Bitmaps.Store!.RemoveGoneAsync();
            }

            CheckOverlay(image, basis);
            Assert.That(QemuTool.Run("qemu-img", "info", image.Path), Does.Not.Contain("name: b0"));
        }
        finally
        {
            File.Delete(basis);
        }
    }

    [Test]
    public async Task Large_bitmaps_stored_and_loaded_by_several_threads_agree_with_qemu()
    {
        const long size = 2L << 30;
        using var image = new BitmapImage(size, 65536);
        var random = new Random(5);
        Dictionary<string, string> hashes;
        await using (OpenImage ours = await image.OpenAsync())
        {
            for (int i = 0; i < 12; i++)
            {
                DirtyBitmap bitmap = ours.Bitmaps.Add($"b{i}", 512, persistent: true);
                for (int write = 0; write < 300; write++)
                    ours.Bitmaps.MarkWritten(random.NextInt64(size), random.Next(1, 100_000));
                if (i % 2 == 0)
                    ours.Bitmaps.Disable(bitmap);
            }

            hashes = Hashes(ours);
        }

        Assert.That(QemuTool.BitmapHashes(image.Path, [.. hashes.Keys]), Is.EquivalentTo(hashes));
        await using OpenImage again = await image.OpenAsync();
        Assert.That(Hashes(again), Is.EquivalentTo(hashes));
    }

    private static Dictionary<string, string> Hashes(OpenImage image) =>
        image.Bitmaps.Named().ToDictionary(bitmap => bitmap.Name!, image.Bitmaps.Sha256);

    private static async Task AddAndCheckAsync(BitmapImage image, string basis)
    {
        Dictionary<string, string> hashes;
        await using (OpenImage open = await image.OpenAsync())
        {
            open.Bitmaps.Add("b0", 4096, persistent: true);
            open.Bitmaps.MarkWritten(1 << 20, 100_000);
            hashes = Hashes(open);
        }

        CheckOverlay(image, basis);
        Assert.That(QemuTool.BitmapHashes(image.Path, "b0"), Is.EquivalentTo(hashes));
    }

    private static void CheckOverlay(BitmapImage image, string basis)
    {
        QemuTool.Run("qemu-img", "check", image.Path);
        Assert.That(QemuTool.Run("qemu-img", "info", image.Path), Does.Contain($"backing file: {basis}").And.Contain("backing file format: qcow2"));
        QemuTool.Run("qemu-io", "-r", "-c", "read -P 7 0 64k", image.Path);
    }
}
