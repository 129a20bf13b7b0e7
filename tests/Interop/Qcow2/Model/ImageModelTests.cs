using System.Globalization;
using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;
using Testing;

namespace Interop.Qcow2.Model;

/// <summary>Images of random features under everything that can be asked of them at once, beside a byte-array twin and the real tools.</summary>
/// <remarks>
/// A seed is a chain of one to five images of random features, each made by us or by <c>qemu-img</c>. Rounds: guests and a client work at
/// once, several phases with a snapshot or another size between; then the image is closed, the real tools check and compare it, its
/// snapshots and its bitmaps, and they use it in their turn.
/// </remarks>
public sealed class ImageModelTests
{
    private const int Rounds = 3;
    private const int Phases = 4;
    private const int Guests = 4;
    private const int Requests = 30;

    private TemporaryDirectory _directory = null!;

    [SetUp]
    public void MakeDirectory() => _directory = new TemporaryDirectory();

    [TearDown]
    public void RemoveDirectory() => _directory.Dispose();

    [Test]
    public async Task Whatever_is_asked_at_once_the_image_is_what_its_twin_is([Range(1, 8)] int seed) => await LiveAsync(seed);

    [Test]
    [Explicit("Runs as many seeds as MONITOR_MODEL_SEEDS says.")]
    public async Task Very_many_lives()
    {
        int seeds = int.Parse(Environment.GetEnvironmentVariable("MONITOR_MODEL_SEEDS") ?? "200", CultureInfo.InvariantCulture);
        for (int seed = 1000; seed < 1000 + seeds; seed++)
        {
            await LiveAsync(seed);
            RemoveDirectory();
            MakeDirectory();
        }
    }

    /// <summary>Closes nodes, the last opened first.</summary>
    internal static async Task CloseAsync(List<BlockNode> opened)
    {
        for (int i = opened.Count - 1; i >= 0; i--)
        {
            await opened[i].CloseAsync();
        }
    }

    private async Task LiveAsync(int seed)
    {
        var random = new Random(seed);
        (RandomLayer layer, byte[] below) = await MakeChainAsync(random);
        var twin = new DiskTwin(below, (long)layer.Options.Size);
        string name = $"seed {seed}, {layer}";
        TestContext.Out.WriteLine(name);
        for (int round = 0; round < Rounds; round++)
        {
            try
            {
                await UseAsync(layer, twin, random, (seed * 10) + round);
                await CompareAsync(layer, twin);
                await LetThemUseAsync(layer, twin, random);
            }
            catch (Exception e) when (e is not MultipleAssertException)
            {
                throw new AssertionException($"{name}, round {round}: {e}");
            }
        }
    }

    /// <summary>The lower images, with something in each, and the uppermost, empty.</summary>
    private async Task<(RandomLayer Layer, byte[] Below)> MakeChainAsync(Random random)
    {
        int depth = random.Next(2) == 0 ? 1 : random.Next(2, 6);
        byte[] below = [];
        RandomLayer? layer = null;
        for (int i = 0; ; i++)
        {
            layer = new RandomLayer(_directory.File($"layer{i}"), random, layer);
            await layer.CreateAsync();
            if (i >= depth - 1 && !layer.IsRaw)
            {
                return (layer, below);
            }

            var twin = new DiskTwin(below, (long)layer.Options.Size);
            await FillAsync(layer, twin, random);
            below = twin.Bytes;
        }
    }

    private static async Task FillAsync(RandomLayer layer, DiskTwin twin, Random random)
    {
        if (layer.IsRaw)
        {
            random.NextBytes(twin.Bytes.AsSpan(0, random.Next(twin.Bytes.Length)));
            await File.WriteAllBytesAsync(layer.Path, twin.Bytes);
            return;
        }

        var opened = new List<BlockNode>();
        var node = (Qcow2Node)await layer.OpenAsync(opened, lateSeed: 1);
        await new Guest(node, twin).RunAsync(random, 20);
        await CloseAsync(opened);
    }

    private static async Task UseAsync(RandomLayer layer, DiskTwin twin, Random random, int seed)
    {
        var opened = new List<BlockNode>();
        var options = new BlockdevOptionsQcow2
        {
            File = null!,
            L2CacheSize = 1024 * random.Next(1, 9),
            RefcountCacheSize = 1,
            DiscardNoUnref = layer.Options.Version == BlockdevQcow2Version.V3 && random.Next(4) == 0,
            PassDiscardRequest = random.Next(3) != 0,
            PassDiscardOther = random.Next(2) == 0,
        };
        var node = (Qcow2Node)await layer.OpenAsync(opened, seed, options);
        CompareBitmaps(node, twin);
        for (int phase = 0; phase < Phases; phase++)
        {
            var guest = new Guest(node, twin);
            var client = new Client(node, layer, twin, guest);
            var tasks = Enumerable.Range(1, Guests).Select(i => new Random((seed * 100) + (phase * 10) + i)).Select(r => Task.Run(() => guest.RunAsync(r, Requests))).ToList();
            var clientRandom = new Random((seed * 100) + (phase * 10));
            tasks.Add(Task.Run(() => client.RunAsync(clientRandom, 8)));
            await Task.WhenAll(tasks);
            CompareBitmaps(node, twin);
            await CompareMapAsync(node, twin);
            await client.ChangeDiskAsync(random);
        }

        byte[] all = new byte[node.SizeBytes];
        await node.ReadAsync(0, all);
        Assert.That(all.AsSpan().CommonPrefixLength(twin.Bytes), Is.EqualTo(twin.Bytes.Length), "the whole disk");
        await CloseAsync(opened);
        foreach ((string name, _) in twin.Bitmaps.Where(bitmap => !bitmap.Value.IsPersistent).ToList())
        {
            twin.Bitmaps.Remove(name);
        }
    }

    private static void CompareBitmaps(Qcow2Node node, DiskTwin twin)
    {
        Assert.That(node.Bitmaps.Named().Select(bitmap => bitmap.Name), Is.EquivalentTo(twin.Bitmaps.Keys));
        foreach ((string name, LooseBitmap loose) in twin.Bitmaps)
        {
            DirtyBitmap real = node.Bitmaps.Find(name);
            HierarchicalBitmap content = node.Bitmaps.CopyContent(real);
            Assert.That(loose.FindDifference(content.IsDirty), Is.EqualTo(-1), $"bitmap {name}, granularity {loose.Granularity}");
            Assert.That((real.IsEnabled, real.IsInconsistent), Is.EqualTo((loose.IsEnabled, false)), name);
        }
    }

    /// <summary>Where the map says zeroes there are zeroes, and where it says data they lie there.</summary>
    private static async Task CompareMapAsync(Qcow2Node node, DiskTwin twin)
    {
        for (long offset = 0; offset < node.SizeBytes;)
        {
            BlockMapping run = await node.MapAsync(offset, node.SizeBytes - offset);
            byte[] expected = new byte[run.Length];
            if (run.Kind == BlockMappingKind.Data)
            {
                await run.Child!.Node.ReadAsync(run.Host.Bytes, expected);
            }
            else if (run.Kind == BlockMappingKind.Backing && offset < twin.Below.Length)
            {
                twin.Below.AsSpan((int)offset, (int)Math.Min(run.Length, twin.Below.Length - offset)).CopyTo(expected);
            }

            Assert.That(
                run.Kind == BlockMappingKind.Compressed || expected.AsSpan().SequenceEqual(twin.Bytes.AsSpan((int)offset, (int)run.Length)), $"{run.Kind} at {offset}");
            offset += run.Length;
        }
    }

    private async Task CompareAsync(RandomLayer layer, DiskTwin twin)
    {
        await QemuTool.CheckAsync(layer.Path);
        string raw = _directory.File("twin");
        await File.WriteAllBytesAsync(raw, twin.Bytes);
        await QemuTool.CompareAsync(layer.Path, "qcow2", raw, "raw");
        if (layer.Options.DataFileRaw == true)
        {
            Assert.That((await File.ReadAllBytesAsync(layer.DataPath)).AsSpan().SequenceEqual(twin.Bytes), "the raw data file");
        }

        foreach ((string name, byte[] bytes) in twin.Snapshots)
        {
            string shown = _directory.File("shown");
            await QemuTool.RunAsync("qemu-img", "convert", "-f", "qcow2", "-O", "raw", "-l", $"snapshot.name={name}", layer.Path, shown);
            byte[] theirs = await File.ReadAllBytesAsync(shown);

            // The tool shows a snapshot at the disk's present size.
            int common = Math.Min(theirs.Length, bytes.Length);
            Assert.That(theirs.AsSpan(0, common).SequenceEqual(bytes.AsSpan(0, common)), $"snapshot {name}");
        }
    }

    private static async Task LetThemUseAsync(RandomLayer layer, DiskTwin twin, Random random)
    {
        if (random.Next(2) == 0 && twin.Bytes.Length >= 512)
        {
            await QemuTool.RunAsync("qemu-io", ["-f", "qcow2", .. TheirRequests(twin, random), layer.Path]);
        }

        if (twin.Snapshots.Count > 0 && twin.Bitmaps.Count == 0 && random.Next(2) == 0)
        {
            (string name, byte[] bytes) = twin.Snapshots[random.Next(twin.Snapshots.Count)];
            bool applies = layer.Options.Version == BlockdevQcow2Version.V3 || bytes.Length == twin.Bytes.Length;
            await QemuTool.RunAsync("qemu-img", "snapshot", applies ? "-a" : "-d", name, layer.Path);
            if (applies)
            {
                twin.Apply(bytes);
            }
            else
            {
                twin.Snapshots.RemoveAll(snapshot => snapshot.Name == name);
            }
        }

        await QemuTool.CheckAsync(layer.Path);
    }

    private static IEnumerable<string> TheirRequests(DiskTwin twin, Random random)
    {
        int sectors = twin.Bytes.Length / 512;
        for (int i = 0; i < 10; i++)
        {
            int offset = 512 * random.Next(sectors);
            int length = Math.Min(twin.Bytes.Length - offset, 512 * random.Next(1, 200));
            byte pattern = (byte)random.Next(1, 256);
            bool zero = random.Next(4) == 0;
            twin.Bytes.AsSpan(offset, length).Fill(zero ? (byte)0 : pattern);
            foreach (LooseBitmap bitmap in twin.Bitmaps.Values.Where(bitmap => bitmap.IsEnabled))
            {
                bitmap.Set(offset, length, isCertain: true);
            }

            yield return "-c";
            yield return zero ? $"write -z {(random.Next(2) == 0 ? "-u " : "")}{offset} {length}" : $"write -P {pattern} {offset} {length}";
        }
    }
}
