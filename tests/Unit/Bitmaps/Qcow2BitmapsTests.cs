using System.Buffers.Binary;
using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Bitmaps;

public sealed class Qcow2BitmapsTests
{
    private const long Size = 64 << 20;

    [Test]
    public async Task What_is_stored_is_loaded_again_with_its_flags_and_marked_in_use()
    {
        (MemoryBitmapHost host, NodeBitmaps node, Qcow2Bitmaps store) = await OpenAsync(new MemoryBitmapHost());
        DirtyBitmap one = node.Add("one", 65536, persistent: true);
        node.Add("off", 4096, persistent: true, disabled: true);
        node.Add("gone", 65536);
        node.MarkWritten(5 << 20, 100_000);
        string hash = node.Sha256(one);
        await store.StoreAsync();
        Assert.That(store.Entries, Is.EqualTo(new[]
        {
            ("off", 4096u, Qcow2BitmapFlags.None), ("one", 65536u, Qcow2BitmapFlags.Auto),
        }));

        (_, NodeBitmaps again, Qcow2Bitmaps reopened) = await OpenAsync(host.Reopened());
        Assert.That(again.List(), Is.EqualTo(new[]
        {
            new DirtyBitmapInfo("one", 131072, 65536, true, false, true, false),
            new DirtyBitmapInfo("off", 0, 4096, false, false, true, false),
        }));
        Assert.That(again.Sha256(again.Find("one")), Is.EqualTo(hash));
        Assert.That(reopened.Entries.Select(entry => entry.Flags & Qcow2BitmapFlags.InUse), Is.All.EqualTo(Qcow2BitmapFlags.InUse));
    }

    [Test]
    public async Task A_bitmap_left_in_use_is_kept_and_unusable()
    {
        (MemoryBitmapHost host, NodeBitmaps node, Qcow2Bitmaps store) = await OpenAsync(new MemoryBitmapHost());
        node.Add("b0", 65536, persistent: true);
        await store.StoreAsync();
        (host, _, _) = await OpenAsync(host.Reopened());
        for (int crash = 0; crash < 2; crash++)
        {
            (host, node, store) = await OpenAsync(host.Reopened());
            Assert.That(node.List(), Is.EqualTo(new[] { new DirtyBitmapInfo("b0", 0, 65536, false, false, true, true) }));
            await store.StoreAsync();
        }

        node.PrepareRemove(node.Find("b0"));
        node.Release(node.Find("b0"));
        await store.RemoveGoneAsync();
        Assert.That((host.BitmapExtension is null, host.BitmapsAutoclear, host.AllocatedClusters), Is.EqualTo((true, false, 0)));
    }

    [Test]
    public async Task Several_removals_are_one_switch_of_the_directory()
    {
        (MemoryBitmapHost host, NodeBitmaps node, Qcow2Bitmaps store) = await OpenAsync(new MemoryBitmapHost());
        foreach (string name in (string[])["b0", "b1", "b2"])
            node.Add(name, 65536, persistent: true);
        await store.StoreAsync();
        node.Release(node.Find("b0"));
        node.Release(node.Find("b2"));
        await store.RemoveGoneAsync();
        Assert.That(store.Entries.Select(entry => entry.Name), Is.EqualTo(["b1"]));
        int steps = host.StepsTaken;
        await store.RemoveGoneAsync();
        Assert.That(host.StepsTaken, Is.EqualTo(steps));
    }

    [Test]
    public async Task A_read_only_image_gives_read_only_bitmaps_and_is_not_written()
    {
        (MemoryBitmapHost host, NodeBitmaps node, Qcow2Bitmaps store) = await OpenAsync(new MemoryBitmapHost());
        node.Add("b0", 65536, persistent: true);
        await store.StoreAsync();
        (host, node, store) = await OpenAsync(host.Reopened(readOnly: true));
        Assert.That(node.Find("b0").IsReadOnly, Is.True);
        Assert.That(
            () => node.Add("b1", 65536, persistent: true),
            Throws.TypeOf<QmpException>().With.Message.EqualTo("Can't make bitmap 'b1' persistent in 'q': Image is read-only"));
        await store.StoreAsync();
        Assert.That(host.StepsTaken, Is.Zero);

        host.IsReadOnly = false;
        await store.ReopenWritableAsync();
        Assert.That(node.Find("b0").IsReadOnly, Is.False);
        node.MarkWritten(0, 1);
        await store.ReopenReadOnlyAsync();
        Assert.That((node.Find("b0").IsReadOnly, store.Entries[0].Flags), Is.EqualTo((true, Qcow2BitmapFlags.Auto)));
        (_, node, _) = await OpenAsync(host.Reopened(readOnly: true));
        Assert.That(node.CountDirtyBytes(node.Find("b0")), Is.EqualTo(65536));
    }

    [Test]
    public async Task Uniform_clusters_take_no_space()
    {
        (MemoryBitmapHost host, NodeBitmaps node, Qcow2Bitmaps store) = await OpenAsync(new MemoryBitmapHost());
        node.Add("b0", 512, persistent: true);
        const long bytesPerCluster = 512 * 8 * 512;
        node.MarkWritten(bytesPerCluster, bytesPerCluster);
        node.MarkWritten(3 * bytesPerCluster, 1);
        await store.StoreAsync();
        Assert.That(host.AllocatedClusters, Is.EqualTo(3), "directory, table and the one mixed cluster");
        (_, NodeBitmaps again, _) = await OpenAsync(host.Reopened());
        Assert.That(again.CountDirtyBytes(again.Find("b0")), Is.EqualTo(bytesPerCluster + 512));
    }

    [Test]
    public async Task An_unchanged_bitmap_keeps_its_clusters_and_a_changed_ones_are_freed()
    {
        (MemoryBitmapHost host, NodeBitmaps node, Qcow2Bitmaps store) = await OpenAsync(new MemoryBitmapHost());
        node.Add("moving", 65536, persistent: true);
        node.Add("still", 65536, persistent: true, disabled: true);
        await store.StoreAsync();
        ulong still = TableOffset(host, 0);
        ulong moving = TableOffset(host, 1);
        (host, node, store) = await OpenAsync(host.Reopened());
        node.MarkWritten(0, 1);
        await store.StoreAsync();
        Assert.That(TableOffset(host, 0), Is.EqualTo(still));
        Assert.That(TableOffset(host, 1), Is.Not.EqualTo(moving));
        Assert.That(host.AllocatedClusters, Is.EqualTo(4), "directory, two tables, one data cluster");
    }

    [Test]
    public async Task Inactivation_drops_what_was_stored_and_activation_loads_it_again()
    {
        (_, NodeBitmaps node, Qcow2Bitmaps store) = await OpenAsync(new MemoryBitmapHost());
        node.Add("stored", 65536, persistent: true);
        DirtyBitmap travels = node.Add("travels", 65536, persistent: true);
        travels.IsStoreSkipped = true;
        node.MarkWritten(0, 1);
        await store.ReopenReadOnlyAsync();
        store.Forget();
        Assert.That(node.List().Select(info => info.Name), Is.EqualTo(new[] { "travels" }));
        await store.LoadAsync();
        (string, long)[] expected = [("stored", 65536), ("travels", 65536)];
        Assert.That(node.List().Select(info => (info.Name, info.CountBytes)), Is.EqualTo(expected));
    }

    [Test]
    public async Task A_failed_store_keeps_everything_in_memory_and_the_next_one_succeeds()
    {
        for (int steps = 0; ; steps++)
        {
            (MemoryBitmapHost host, NodeBitmaps node, Qcow2Bitmaps store) = await OpenAsync(await WithTwoBitmapsAsync());
            node.MarkWritten(1 << 20, 1);
            string hash = node.Sha256(node.Find("b0"));
            host.StepsLeft = steps;
            try
            {
                await store.StoreAsync();
                Assert.That(steps, Is.GreaterThan(6));
                return;
            }
            catch (BlockIoException)
            {
                host.StepsLeft = -1;
            }

            await store.StoreAsync();
            (_, NodeBitmaps again, _) = await OpenAsync(host.Reopened());
            Assert.That(again.Sha256(again.Find("b0")), Is.EqualTo(hash), $"after {steps} steps");
            Assert.That(again.Find("b0").IsInconsistent, Is.False, $"after {steps} steps");
        }
    }

    [Test]
    public async Task A_crash_at_any_step_leaves_each_bitmap_exact_or_in_use([Values(1, 2, 3)] int seed)
    {
        var random = new Random(seed);
        bool finished = false;
        for (int steps = 0; !finished; steps++)
        {
            MemoryBitmapHost image = await WithTwoBitmapsAsync();
            image.StepsLeft = steps;
            var life = new Life();
            try
            {
                await life.LiveAsync(image);
                finished = true;
            }
            catch (BlockIoException)
            {
                image.StepsLeft = -1;
            }

            for (int loss = 0; loss < 10; loss++)
                await CheckAfterCrashAsync(image.AfterPowerLoss(random), life, $"seed {seed}, crash after {steps} steps, loss {loss}");
        }
    }

    [TestCase(1, (byte)0, "bitmaps_ext: Image has 16777217 bitmaps, exceeding the QEMU supported maximum of 65535", 8)]
    [TestCase(1, (byte)3, "Less bitmaps found than specified in header extension", 11)]
    [TestCase(1, (byte)1, "More bitmaps found than specified in header extension", 11)]
    public async Task A_bad_extension_is_refused_in_QEMUs_words(int value, byte low, string expected, long at)
    {
        MemoryBitmapHost host = (await WithTwoBitmapsAsync()).Reopened();
        host.Poke(at, at == 8 ? (byte)value : low);
        if (at == 8)
            host.Poke(11, 1);
        Assert.That(async () => await OpenAsync(host), Throws.TypeOf<QmpException>().With.Message.EqualTo(expected));
    }

    [TestCase(12, 0x80, "Bitmap 'b0' doesn't satisfy the constraints")]
    [TestCase(16, 2, "Bitmap 'b0' doesn't satisfy the constraints")]
    [TestCase(17, 8, "Bitmap 'b0' doesn't satisfy the constraints")]
    [TestCase(17, 32, "Bitmap 'b0' doesn't satisfy the constraints")]
    [TestCase(7, 1, "Bitmap 'b0' doesn't satisfy the constraints")]
    [TestCase(11, 0, "Bitmap 'b0' doesn't satisfy the constraints")]
    [TestCase(11, 2, "Could not read bitmap 'b0' from image: Invalid argument")]
    [TestCase(4, 1, "Could not read bitmap_table table from image for bitmap 'b0': Invalid argument")]
    [TestCase(23, 8, "Bitmap extra data is not supported")]
    [TestCase(18, 2, "Broken bitmap directory")]
    [TestCase(25, (int)'1', "Bitmap already exists: b1")]
    public async Task A_bad_directory_entry_is_refused_in_QEMUs_words(int at, int value, string expected)
    {
        MemoryBitmapHost host = (await WithTwoBitmapsAsync()).Reopened();
        host.Poke((long)host.BitmapExtension!.Value.DirectoryOffset + at, (byte)value);
        Assert.That(async () => await OpenAsync(host), Throws.TypeOf<QmpException>().With.Message.EqualTo(expected));
    }

    [TestCase(7, 2, TestName = "A_table_entry_with_a_reserved_bit_is_refused")]
    [TestCase(6, 1, TestName = "A_table_entry_past_the_clusters_alignment_is_refused")]
    [TestCase(2, 1, TestName = "A_table_entry_outside_the_file_is_refused")]
    public async Task A_bad_table_entry_is_refused(int at, int value)
    {
        MemoryBitmapHost host = (await WithTwoBitmapsAsync(clusterSize: 4096)).Reopened();
        host.Poke((long)TableOffset(host, 0) + at, (byte)value);
        const string text = "Could not read bitmap_table table from image for bitmap 'b0': Invalid argument";
        Assert.That(async () => await OpenAsync(host), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
    }

    [Test]
    public async Task Without_the_autoclear_bit_the_stored_bitmaps_are_not_trusted()
    {
        MemoryBitmapHost host = (await WithTwoBitmapsAsync()).Reopened();
        host.Poke(0, 0);
        (_, NodeBitmaps node, Qcow2Bitmaps store) = await OpenAsync(host);
        Assert.That(node.List(), Is.Empty);
        node.Add("new", 65536, persistent: true);
        await store.StoreAsync();
        Assert.That((host.BitmapExtension!.Value.Count, host.BitmapsAutoclear), Is.EqualTo((1u, true)));
    }

    [Test]
    public void What_the_image_cannot_keep_is_refused_in_QEMUs_words()
    {
        var huge = new MemoryBitmapHost { VirtualSizeBytes = 20L << 40 };
        Assert.That(
            new Qcow2Bitmaps(huge, new NodeBitmaps(Size)).WhyNotStorable("b", 4096),
            Is.EqualTo("Too much space will be occupied by the bitmap. Use larger granularity"));
        Assert.That(new Qcow2Bitmaps(huge, new NodeBitmaps(Size)).WhyNotStorable("b", 8192), Is.Null);
        Assert.That(
            new Qcow2Bitmaps(huge, new NodeBitmaps(Size)).WhyNotStorable(new string('x', 1024), 8192),
            Is.EqualTo("Name length exceeds maximum (1023 characters)"));
        Assert.That(
            new Qcow2Bitmaps(new MemoryBitmapHost { Version = 2 }, new NodeBitmaps(Size)).WhyNotStorable("b", 65536),
            Is.EqualTo("Cannot store dirty bitmaps in qcow2 v2 files"));
    }

    [Test]
    public void The_extension_and_an_entry_survive_a_round_trip()
    {
        byte[] bytes = new byte[Qcow2BitmapExtension.Size];
        var extension = new Qcow2BitmapExtension(3, 120, 0x50000);
        extension.Write(bytes);
        Assert.That(Qcow2BitmapExtension.TryRead(bytes, out Qcow2BitmapExtension read), Is.True);
        Assert.That(read, Is.EqualTo(extension));
        bytes[7] = 1;
        Assert.That(Qcow2BitmapExtension.TryRead(bytes, out _), Is.False);

        var entry = new Qcow2BitmapDirectoryEntry
        {
            TableOffset = 0x60000,
            TableSize = 7,
            Flags = Qcow2BitmapFlags.Auto,
            GranularityBits = 16,
            NameBytes = "náme"u8.ToArray(),
        };
        byte[] directory = Qcow2BitmapDirectory.Write([entry]);
        Assert.That(directory, Has.Length.EqualTo(32));
        Qcow2BitmapDirectoryEntry? again = Qcow2BitmapDirectoryEntry.TryRead(directory);
        Assert.That(again! with { NameBytes = entry.NameBytes }, Is.EqualTo(entry));
        Assert.That(Qcow2BitmapDirectory.NameOf(again!), Is.EqualTo("náme"));
    }

    private static async Task<(MemoryBitmapHost Host, NodeBitmaps Node, Qcow2Bitmaps Store)> OpenAsync(MemoryBitmapHost host)
    {
        var node = new NodeBitmaps(host.VirtualSizeBytes, "q");
        var store = new Qcow2Bitmaps(host, node);
        node.Store = store;
        await store.LoadAsync();
        return (host, node, store);
    }

    private static async Task<MemoryBitmapHost> WithTwoBitmapsAsync(int clusterSize = 512)
    {
        (MemoryBitmapHost host, NodeBitmaps node, Qcow2Bitmaps store) = await OpenAsync(new MemoryBitmapHost(clusterSize));
        node.Add("b1", 65536, persistent: true);
        node.Add("b0", 65536, persistent: true);
        node.MarkWritten(0, 1);
        await store.StoreAsync();
        await host.FlushAsync();
        return host.Reopened();
    }

    /// <summary>Each bitmap is in use, or holds what the life noted last; all it uses is allocated.</summary>
    private static async Task CheckAfterCrashAsync(MemoryBitmapHost host, Life life, string when)
    {
        host.IsReadOnly = true;
        (_, NodeBitmaps node, Qcow2Bitmaps store) = await OpenAsync(host);
        foreach (DirtyBitmap bitmap in node.Named())
        {
            if (!bitmap.IsInconsistent)
                Assert.That(node.Sha256(bitmap), Is.EqualTo(life.Exact[bitmap.Name!]), $"{when}: '{bitmap.Name}'");
        }

        if (host.BitmapExtension is not { } extension || !host.BitmapsAutoclear)
        {
            Assert.Fail($"{when}: the bitmaps are lost");
            return;
        }

        var runs = new List<Qcow2ClusterRun> { new((long)extension.DirectoryOffset, 1) };
        byte[] directory = new byte[extension.DirectorySize];
        await host.ReadAsync((long)extension.DirectoryOffset, directory);
        foreach (Qcow2BitmapDirectoryEntry entry in Qcow2BitmapDirectory.Read(directory, extension.Count, host))
            runs.AddRange((await Qcow2BitmapTable.ReadAsync(host, entry)).Clusters(host.ClusterSize));
        Assert.That(runs, Is.All.Matches<Qcow2ClusterRun>(host.IsAllocated), $"{when}: a cluster in use has no refcount");
        Assert.That(runs.SelectMany(run => Enumerable.Range(0, (int)run.Count).Select(i => run.Offset + i)), Is.Unique, when);
        Assert.That(store.Entries, Is.Not.Empty, when);
    }

    private static ulong TableOffset(MemoryBitmapHost host, int index)
    {
        byte[] bytes = new byte[8];
        host.ReadAsync((long)host.BitmapExtension!.Value.DirectoryOffset + (index * 32), bytes).AsTask().Wait();
        return BinaryPrimitives.ReadUInt64BigEndian(bytes);
    }

    /// <summary>A whole life of the image: opened, written, one bitmap removed and another added, closed.</summary>
    private sealed class Life
    {
        /// <summary>What each bitmap must hold now, unless it says that it is in use.</summary>
        internal Dictionary<string, string> Exact { get; } = [];

        internal async Task LiveAsync(MemoryBitmapHost host)
        {
            (_, NodeBitmaps before, _) = await OpenAsync((await WithTwoBitmapsAsync()).Reopened(readOnly: true));
            Note(before);
            (_, NodeBitmaps node, Qcow2Bitmaps store) = await OpenAsync(host);
            node.MarkWritten(3 << 20, 200_000);
            Note(node);
            node.Release(node.Find("b1"));
            await store.RemoveGoneAsync();
            node.Add("b2", 4096, persistent: true);
            node.MarkWritten(9 << 20, 10_000);
            Note(node);
            await store.StoreAsync();
            await host.FlushAsync();
        }

        private void Note(NodeBitmaps node)
        {
            foreach (DirtyBitmap bitmap in node.Named())
                Exact[bitmap.Name!] = node.Sha256(bitmap);
        }
    }
}
