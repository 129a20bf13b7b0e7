using System.Buffers.Binary;
using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>Images with damaged bytes are refused or fail requests; they never crash, hang or take much memory.</summary>
public sealed class Qcow2FuzzTests
{
    /// <summary>Bytes that opening an image, using, checking and repairing it may allocate, garbage included.</summary>
    private const long MostBytes = 256 << 20;

    private static readonly ulong[] s_values =
        [0, 1, 7, 511, 512, 0x10000, 0x20000, 0x30000, 0x40000, 0x10001, 0x7FFF_FFFF, 0xFFFF_FFFF, 1UL << 32, 1UL << 55, 1UL << 62, 1UL << 63, ulong.MaxValue];

    [Test]
    public async Task Damaged_headers_are_refused_or_served([Range(0, 111, 4)] int field)
    {
        byte[] image = await FilledImageAsync();
        foreach (ulong value in s_values)
        {
            byte[] narrow = [.. image];
            BinaryPrimitives.WriteUInt32BigEndian(narrow.AsSpan(field), (uint)value);
            await TryAsync(narrow, $"field {field} = {value:x} (32 bits)");
            byte[] wide = [.. image];
            BinaryPrimitives.WriteUInt64BigEndian(wide.AsSpan(field), value);
            await TryAsync(wide, $"field {field} = {value:x} (64 bits)");
        }
    }

    [Test]
    public async Task Damaged_tables_are_refused_or_served([Range(1, 8)] int seed)
    {
        byte[] image = await FilledImageAsync();
        var random = new Random(seed);
        for (int i = 0; i < 150; i++)
        {
            byte[] damaged = [.. image];
            for (int k = random.Next(1, 6); k > 0; k--)
            {
                int at = random.Next(image.Length / 8) * 8;
                ulong value = s_values[random.Next(s_values.Length)] | (random.Next(2) == 0 ? 1UL << 63 : 0) | ((ulong)random.Next(64) << 9);
                BinaryPrimitives.WriteUInt64BigEndian(damaged.AsSpan(at), value);
            }

            await TryAsync(damaged, $"seed {seed}, round {i}");
        }
    }

    [Test]
    public async Task Damaged_structures_of_every_kind_are_refused_served_or_repaired([Range(1, 4)] int seed, [Values] FuzzedImageKind kind) =>
        await FuzzAsync(kind, seed, 150);

    [Test]
    public async Task Nothing_stays_in_memory_of_images_that_were_refused_or_closed([Values] FuzzedImageKind kind)
    {
        FuzzedImage whole = await FuzzedImage.MakeAsync(kind);
        var storages = new List<WeakReference>();
        for (int seed = 0; seed < 200; seed++)
        {
            storages.Add(await OpenAndCloseAsync(whole, seed));
        }

        GC.Collect();
        Assert.That(storages.Count(storage => storage.IsAlive), Is.Zero);
    }

    private static async Task<WeakReference> OpenAndCloseAsync(FuzzedImage whole, int seed)
    {
        var storage = new StorageNode(StorageContent.From(whole.Damage(new Random(seed))));
        await TolerateAsync(async () =>
        {
            Qcow2Node node = await TestImage.OpenAsync(storage, dataFile: whole.Data is null ? null : new StorageNode(whole.Data.Clone()));
            await node.CloseAsync();
        });
        return new WeakReference(storage);
    }

    [Test]
    [Explicit("Runs as long as MONITOR_FUZZ_IMAGES says.")]
    public async Task Very_many_damaged_images([Values] FuzzedImageKind kind) =>
        await FuzzAsync(kind, Environment.TickCount, int.Parse(Environment.GetEnvironmentVariable("MONITOR_FUZZ_IMAGES") ?? "100000", System.Globalization.CultureInfo.InvariantCulture));

    [Test]
    public async Task A_small_file_that_claims_an_enormous_disk_costs_little()
    {
        byte[] image = (await TestImage.CreateAsync(1 << 20)).ToArray();
        BinaryPrimitives.WriteUInt32BigEndian(image.AsSpan(20), 21);
        BinaryPrimitives.WriteUInt64BigEndian(image.AsSpan(24), 1UL << 60);
        BinaryPrimitives.WriteUInt32BigEndian(image.AsSpan(36), 1 << 21);
        foreach (int field in (int[])[40, 48])
        {
            BinaryPrimitives.WriteUInt64BigEndian(image.AsSpan(field), 1 << 21);
        }

        byte[] file = new byte[5 << 20];
        image.CopyTo(file, 0);
        await TryAsync(file, "an exabyte", mostBytes: 480 << 20);
    }

    private static async Task FuzzAsync(FuzzedImageKind kind, int seed, int images)
    {
        FuzzedImage whole = await FuzzedImage.MakeAsync(kind);
        Assert.That(ImageChecker.Check(whole.Bytes.ToArray()).Corruptions, Is.Empty);
        for (int i = 0; i < images; i++)
        {
            var random = new Random((seed * 1_000_003) + i);
            await TryAsync(whole.Damage(random), $"{kind}, seed {seed}, image {i}", random.Next(4) == 0, whole.Data);
        }
    }

    [Test]
    public async Task An_L1_entry_with_the_copied_flag_and_no_table_counts_as_empty()
    {
        StorageContent content = await TestImage.CreateAsync(1 << 20);
        content.Write(0x30000, [0x80, 0, 0, 0, 0, 0, 0, 0]);
        var storage = new StorageNode(content);
        Qcow2Node node = await TestImage.OpenAsync(storage);
        await node.WriteAsync(12345, new byte[] { 1, 2, 3 });
        await node.CloseAsync();
        Assert.That(ImageChecker.Check(storage.Bytes).Corruptions, Is.Empty);
    }

    [Test]
    public async Task A_damaged_L2_entry_marks_the_image_corrupt_and_is_announced()
    {
        var storage = new StorageNode(StorageContent.From(await FilledImageAsync()));
        ulong table = BinaryPrimitives.ReadUInt64BigEndian(storage.Bytes.AsSpan(0x40 * 4 * 0 + (int)BinaryPrimitives.ReadUInt64BigEndian(storage.Bytes.AsSpan(40)))) & 0x00FF_FFFF_FFFF_FE00;
        byte[] unaligned = new byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(unaligned, (1UL << 63) | 0x2A00);
        storage.Content.Write((long)table, unaligned);
        var events = new EventRecorder();
        Qcow2Node node = await TestImage.OpenAsync(storage, events: events);
        Assert.That(async () => await node.ReadAsync(0, new byte[16]), Throws.TypeOf<BlockIoException>().With.Property("Errno").EqualTo(Errno.EIO));
        Assert.That(async () => await node.WriteAsync(0, new byte[16]), Throws.TypeOf<BlockIoException>().With.Property("Errno").EqualTo(Errno.EIO));
        Assert.That(events.Events.Select(e => e.Name), Is.EqualTo(new[] { "BLOCK_IMAGE_CORRUPTED" }));
        Assert.That(storage.Bytes[79] & 2, Is.EqualTo(2));
        Assert.That(async () => await TestImage.OpenAsync(new StorageNode(storage.Content)), Throws.TypeOf<QmpException>()
            .With.Message.EqualTo("qcow2: Image is corrupt; cannot be opened read/write"));
    }

    [TestCase(null, "active L1 table", true)]
    [TestCase(Qcow2OverlapCheckMode.Constant, "active L1 table", true)]
    [TestCase(Qcow2OverlapCheckMode.Constant, "active L2 table", false)]
    [TestCase(Qcow2OverlapCheckMode.Cached, "active L2 table", true)]
    [TestCase(Qcow2OverlapCheckMode.Cached, "inactive L2 table", false)]
    [TestCase(Qcow2OverlapCheckMode.All, "inactive L2 table", true)]
    [TestCase(Qcow2OverlapCheckMode.Cached, "inactive L1 table", true)]
    [TestCase(Qcow2OverlapCheckMode.Cached, "snapshot table", true)]
    [TestCase(Qcow2OverlapCheckMode.Cached, "refcount block", true)]
    [TestCase(Qcow2OverlapCheckMode.None, "snapshot table", false)]
    public async Task A_write_that_an_entry_leads_to_a_structure_is_refused_as_the_option_says(Qcow2OverlapCheckMode? mode, string structure, bool refused)
    {
        Assert.That(await IsRefusedAsync(structure, mode, mode), Is.EqualTo(refused));
        Qcow2OverlapCheckMode before = refused ? Qcow2OverlapCheckMode.None : Qcow2OverlapCheckMode.All;
        Assert.That(await IsRefusedAsync(structure, before, mode), Is.EqualTo(refused), "as a reopen says");
    }

    private static async Task<bool> IsRefusedAsync(string structure, Qcow2OverlapCheckMode? opened, Qcow2OverlapCheckMode? reopened)
    {
        var storage = new StorageNode(await TestImage.CreateAsync(1 << 20, 4096));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        await node.WriteAsync(0, new byte[10000]);
        await node.CreateSnapshotAsync("s", DateTimeOffset.UnixEpoch);
        await node.WriteAsync(0, new byte[10000]);
        await node.CloseAsync();
        ulong l1 = U64(storage, 40);
        ulong table = U64(storage, (int)l1) & 0x00FF_FFFF_FFFF_FE00;
        ulong target = structure switch
        {
            "active L1 table" => l1,
            "active L2 table" => table,
            "inactive L1 table" => U64(storage, (int)U64(storage, 64)),
            "inactive L2 table" => U64(storage, (int)U64(storage, (int)U64(storage, 64))) & 0x00FF_FFFF_FFFF_FE00,
            "snapshot table" => U64(storage, 64),
            _ => U64(storage, (int)U64(storage, 48)),
        };
        byte[] entry = new byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(entry, target | (1UL << 63));
        storage.Content.Write((long)table + 8, entry);
        var events = new EventRecorder();
        var options = new BlockdevOptionsQcow2 { File = null!, OverlapCheck = opened is null ? null : new Qcow2OverlapChecks { Mode = opened } };
        Qcow2Node again = await TestImage.OpenAsync(storage, events: events, options: options);
        if (reopened != opened)
        {
            again.Reconfigure(BlockdevOptions.Read(QmpInputVisitor.Parse(
                $"{{'driver': 'qcow2', 'file': 'f', 'overlap-check': '{(reopened ?? Qcow2OverlapCheckMode.Cached).ToString().ToLowerInvariant()}'}}"), null));
            await again.OnReopenedAsync();
        }

        await TolerateAsync(() => again.WriteAsync(4096 + 100, new byte[100]));
        bool isMarked = (storage.Bytes[79] & 2) != 0;
        Assert.That(events.Events, Has.Count.EqualTo(isMarked ? 1 : 0));
        return isMarked;
    }

    private static ulong U64(StorageNode storage, int at) => BinaryPrimitives.ReadUInt64BigEndian(storage.Bytes.AsSpan(at));

    private static async Task<byte[]> FilledImageAsync()
    {
        var storage = new StorageNode(await TestImage.CreateAsync(2 << 20, 4096));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        byte[] data = new byte[40000];
        new Random(1).NextBytes(data);
        await node.WriteAsync(5000, data);
        await node.WriteAsync(1 << 20, data);
        await node.WriteZeroesAsync(20000, 30000);
        await node.CloseAsync();
        return storage.Bytes;
    }

    private static async Task TryAsync(byte[] image, string name, bool readOnly = false, StorageContent? data = null, long mostBytes = MostBytes)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            StorageNode? dataFile = data is null ? null : new StorageNode(data.Clone(), readOnly: readOnly);
            Qcow2Node node = await TestImage.OpenAsync(new StorageNode(StorageContent.From(image), readOnly: readOnly), readOnly: readOnly, dataFile: dataFile);
            await (readOnly ? LookAsync(node) : UseAsync(node));
            await TolerateAsync(() => node.CloseAsync());
        }
        catch (Exception e) when (e is QmpException or BlockIoException)
        {
            // Either is a good answer to a damaged image.
        }
        catch (Exception e)
        {
            Assert.Fail($"{name}: {e}");
        }

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(mostBytes), name);
    }

    private static async Task LookAsync(Qcow2Node node)
    {
        byte[] buffer = new byte[10000];
        for (long offset = 0; offset + buffer.Length <= Math.Min(node.SizeBytes, 1 << 20); offset += buffer.Length)
        {
            await TolerateAsync(() => node.ReadAsync(offset, buffer));
        }

        _ = (node.ListSnapshots(), node.BackingFromImage, node.DescribeFormat());
        await TolerateAsync(async () => await node.TryCheckAsync(ImageCheckFix.None));
    }

    private static async Task UseAsync(Qcow2Node node)
    {
        await TolerateAsync(async () => await node.CreateSnapshotAsync("new", DateTimeOffset.UnixEpoch));
        long end = Math.Min(node.SizeBytes, 2 << 20);
        byte[] buffer = new byte[10000];
        for (long offset = 0; offset + buffer.Length <= end; offset += 100000)
        {
            await TolerateAsync(() => node.ReadAsync(offset, buffer));
            await TolerateAsync(() => node.WriteAsync(offset, buffer));
            await TolerateAsync(() => node.WriteZeroesAsync(offset, 5000));
            await TolerateAsync(() => node.DiscardAsync(offset, 50000));
        }

        await TolerateAsync(node.FlushAsync);
        foreach (SnapshotInfo snapshot in node.ListSnapshots().Take(3))
        {
            await TolerateAsync(() => node.DeleteSnapshotAsync(snapshot.Id, snapshot.Name));
        }

        await TolerateAsync(async () => await node.TryCheckAsync(ImageCheckFix.Leaks));
        await TolerateAsync(() => node.RepairAsync(ImageCheckFix.All));
        await TolerateAsync(() => node.WriteAsync(0, buffer.AsMemory(0, (int)Math.Min(end, buffer.Length))));
        await node.CloseAsync();
    }

    private static async Task TolerateAsync(Func<ValueTask> request)
    {
        try
        {
            await request();
        }
        catch (Exception e) when (e is BlockIoException or QmpException)
        {
            // The damage was met.
        }
    }
}
