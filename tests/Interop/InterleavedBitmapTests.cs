using Monitor.Block;
using Monitor.Block.Bitmaps;
using NUnit.Framework;

namespace Interop;

/// <summary>qemu-img, qemu-io and we change the bitmaps of one image in turn; after each turn both sides hash them as a naive twin does.</summary>
public sealed class InterleavedBitmapTests
{
    private const long SizeBytes = (20 << 20) + 512;
    private const int Turns = 6;

    [Test]
    public async Task Both_sides_agree_after_every_turn([Values(512, 4096, 65536, 2 << 20)] int clusterBytes, [Values(1, 2)] int seed)
    {
        using var image = new BitmapImage(SizeBytes, clusterBytes);
        var random = new Random(seed);
        var twins = new Dictionary<string, TwinBitmap>();
        for (int turn = 0; turn < Turns; turn++)
        {
            string when = $"clusters of {clusterBytes}, seed {seed}, turn {turn}";
            if (turn % 2 == 0)
                await TakeOurTurnAsync(image, twins, random);
            else
                TakeTheirTurn(image, twins, random);
            Dictionary<string, string> expected = twins.ToDictionary(pair => pair.Key, pair => pair.Value.Sha256());
            Assert.That(QemuTool.BitmapHashes(image.Path, [.. twins.Keys]), Is.EquivalentTo(expected), when);
            await using OpenImage ours = await image.OpenAsync();
            Assert.That(ours.Bitmaps.Named().ToDictionary(b => b.Name!, ours.Bitmaps.Sha256), Is.EquivalentTo(expected), when);
            Assert.That(ours.Bitmaps.Named().Where(b => b.IsEnabled).Select(b => b.Name), Is.EquivalentTo(
                twins.Where(pair => pair.Value.IsEnabled).Select(pair => pair.Key)), when);
        }

        QemuTool.Run("qemu-img", "check", image.Path);
    }

    [Test]
    public async Task Several_hundred_bitmaps_go_both_ways()
    {
        using var image = new BitmapImage(SizeBytes, 65536);
        await using (OpenImage ours = await image.OpenAsync())
        {
            for (int i = 0; i < 300; i++)
                ours.Bitmaps.Add($"b{i}", 4096u << (i % 5), persistent: true, disabled: i % 7 == 0);
            await ours.Node.WriteAsync(5 << 20, new byte[300_000]);
        }

        QemuTool.Run("qemu-img", "bitmap", "--remove", image.Path, "b17");
        QemuTool.Run("qemu-img", "bitmap", "--add", image.Path, "theirs");
        QemuTool.Run("qemu-io", "-c", "write 0 1M", image.Path);
        QemuTool.Run("qemu-img", "check", image.Path);
        string[] names;
        Dictionary<string, string> hashes;
        await using (OpenImage ours = await image.OpenAsync())
        {
            names = [.. ours.Bitmaps.Named().Select(bitmap => bitmap.Name!)];
            hashes = ours.Bitmaps.Named().ToDictionary(bitmap => bitmap.Name!, ours.Bitmaps.Sha256);
        }

        Assert.That(names, Has.Length.EqualTo(300).And.No.Member("b17"));
        Assert.That(QemuTool.BitmapHashes(image.Path, names), Is.EquivalentTo(hashes));
    }

    private static async Task TakeOurTurnAsync(BitmapImage image, Dictionary<string, TwinBitmap> twins, Random random)
    {
        await using OpenImage open = await image.OpenAsync();
        NodeBitmaps bitmaps = open.Bitmaps;
        for (int step = 0; step < 6; step++)
        {
            switch (NextStep(twins, random, out string name, out string other))
            {
                case "write":
                    (long offset, int length) = NextRange(random);
                    await open.Node.WriteAsync(offset, new byte[length]);
                    WriteTwins(twins, offset, length);
                    break;
                case "--add":
                    uint granularity = 512u << random.Next(23);
                    bitmaps.Add(name, granularity, persistent: true);
                    twins[name] = new TwinBitmap(SizeBytes, granularity);
                    break;
                case "--remove":
                    DirtyBitmap gone = bitmaps.Find(name);
                    bitmaps.PrepareRemove(gone);
                    bitmaps.Release(gone);
                    await bitmaps.Store!.RemoveGoneAsync();
                    twins.Remove(name);
                    break;
                case "--clear":
                    bitmaps.Clear(bitmaps.Find(name));
                    twins[name].Clear();
                    break;
                case "--merge":
                    bitmaps.Merge(bitmaps.Find(name), [bitmaps.Find(other)]);
                    twins[name].Merge(twins[other]);
                    break;
                case "--enable":
                    bitmaps.Enable(bitmaps.Find(name));
                    twins[name].IsEnabled = true;
                    break;
                default:
                    bitmaps.Disable(bitmaps.Find(name));
                    twins[name].IsEnabled = false;
                    break;
            }
        }
    }

    private static void TakeTheirTurn(BitmapImage image, Dictionary<string, TwinBitmap> twins, Random random)
    {
        for (int step = 0; step < 4; step++)
        {
            string verb = NextStep(twins, random, out string name, out string other);
            switch (verb)
            {
                case "write":
                    (long offset, int length) = NextRange(random);
                    QemuTool.Run("qemu-io", "-c", $"write {offset} {length}", image.Path);
                    WriteTwins(twins, offset, length);
                    break;
                case "--add":
                    uint granularity = 512u << random.Next(23);
                    QemuTool.Run("qemu-img", "bitmap", "--add", "-g", $"{granularity}", image.Path, name);
                    twins[name] = new TwinBitmap(SizeBytes, granularity);
                    break;
                case "--merge":
                    QemuTool.Run("qemu-img", "bitmap", "--merge", other, image.Path, name);
                    twins[name].Merge(twins[other]);
                    break;
                default:
                    QemuTool.Run("qemu-img", "bitmap", verb, image.Path, name);
                    Follow(twins, verb, name);
                    break;
            }
        }
    }

    private static void Follow(Dictionary<string, TwinBitmap> twins, string verb, string name)
    {
        if (verb == "--remove")
            twins.Remove(name);
        else if (verb == "--clear")
            twins[name].Clear();
        else
            twins[name].IsEnabled = verb == "--enable";
    }

    private static string NextStep(Dictionary<string, TwinBitmap> twins, Random random, out string name, out string other)
    {
        name = $"b{random.Next(1000)}";
        other = name;
        if (twins.Count < 2)
            return "--add";
        string[] verbs = ["write", "write", "write", "--add", "--add", "--remove", "--clear", "--merge", "--enable", "--disable"];
        string verb = verbs[random.Next(verbs.Length)];
        if (verb != "--add")
            (name, other) = (twins.Keys.ElementAt(random.Next(twins.Count)), twins.Keys.ElementAt(random.Next(twins.Count)));
        return verb == "--add" && twins.ContainsKey(name) ? "write" : verb;
    }

    private static (long Offset, int Length) NextRange(Random random)
    {
        int length = random.Next(1, 400) * 512;
        return (random.NextInt64((SizeBytes - length) / 512) * 512, length);
    }

    private static void WriteTwins(Dictionary<string, TwinBitmap> twins, long offset, int length)
    {
        foreach (TwinBitmap twin in twins.Values.Where(twin => twin.IsEnabled))
            twin.Set(offset, length);
    }
}
