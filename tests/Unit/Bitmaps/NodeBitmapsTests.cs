using Monitor.Block.Bitmaps;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Bitmaps;

public sealed class NodeBitmapsTests
{
    private const long MiB = 1 << 20;

    [Test]
    public void A_write_is_in_every_recording_bitmap_and_in_no_disabled_one()
    {
        var node = new NodeBitmaps(64 * MiB);
        DirtyBitmap coarse = node.Add("coarse", 1 << 20);
        DirtyBitmap fine = node.Add("fine", 512);
        DirtyBitmap disabled = node.Add("disabled", 65536, disabled: true);
        node.MarkWritten(3 * MiB + 5, 10);
        Assert.Multiple(() =>
        {
            Assert.That(node.CountDirtyBytes(coarse), Is.EqualTo(MiB));
            Assert.That(node.CountDirtyBytes(fine), Is.EqualTo(512));
            Assert.That(node.CountDirtyBytes(disabled), Is.Zero);
        });
    }

    [Test]
    public void A_write_before_enable_or_after_disable_is_not_recorded()
    {
        var node = new NodeBitmaps(64 * MiB);
        DirtyBitmap bitmap = node.Add("b0", 65536, disabled: true);
        node.Add("other", 65536);
        node.MarkWritten(0, 1);
        node.Enable(bitmap);
        node.MarkWritten(65536, 1);
        node.Disable(bitmap);
        node.MarkWritten(131072, 1);
        Assert.That(node.NextDirtyArea(bitmap, 0, long.MaxValue, long.MaxValue, out long offset, out long length), Is.True);
        Assert.That((offset, length), Is.EqualTo((65536L, 65536L)));
    }

    [Test]
    public void A_filled_bitmap_is_dirty_all_over_up_to_an_end_inside_a_granule()
    {
        var node = new NodeBitmaps(MiB + 5);
        DirtyBitmap bitmap = node.Add("b0", 65536, disabled: true);
        HierarchicalBitmap before = node.Fill(bitmap);
        Assert.That(node.DirtyRanges(bitmap, 0, 10, out _), Is.EqualTo(new[] { (0L, MiB + 5) }));
        node.Restore(bitmap, before);
        Assert.That(node.CountDirtyBytes(bitmap), Is.Zero);
    }

    [Test]
    public void A_walk_over_pages_finds_every_bit_that_stays_set_whatever_is_written_meanwhile([Values(1, 2, 3)] int seed)
    {
        var random = new Random(seed);
        var node = new NodeBitmaps(64 * MiB);
        DirtyBitmap bitmap = node.Add("b0", 4096);
        var set = new HashSet<long>();
        for (int i = 0; i < 300; i++)
            Write(random.Next(16384));
        var expected = new HashSet<long>(set);
        var found = new HashSet<long>();
        int pages = 0;
        for (long? offset = 0; offset is { } start; pages++)
        {
            IReadOnlyList<(long Offset, long Length)> ranges = node.DirtyRanges(bitmap, start, 7, out offset);
            Assert.That(ranges, Has.Count.LessThanOrEqualTo(7));
            foreach ((long first, long length) in ranges)
            {
                for (long at = first; at < first + length; at += 4096)
                    Assert.That(found.Add(at / 4096) && set.Contains(at / 4096), Is.True, $"seed {seed}");
            }

            Write(random.Next(16384));
        }

        Assert.That(expected.IsSubsetOf(found), Is.True, $"seed {seed}");
        Assert.That(pages, Is.GreaterThan(10));

        void Write(long granule)
        {
            set.Add(granule);
            node.MarkWritten(granule * 4096, 4096);
        }
    }

    [Test]
    public void Ranges_can_be_asked_of_a_busy_bitmap_but_not_of_an_inconsistent_one()
    {
        var node = new NodeBitmaps(64 * MiB);
        DirtyBitmap busy = node.Add("busy", 65536);
        node.SetBusy(busy);
        node.MarkWritten(65536 + 17, 1);
        DirtyBitmap torn = node.AddStored("torn", new HierarchicalBitmap(64 * MiB, 65536), enabled: true, readOnly: false, inconsistent: true);
        Assert.Multiple(() =>
        {
            Assert.That(node.DirtyRanges(busy, 65536 + 5, 10, out long? next), Is.EqualTo(new[] { (65536L + 5, 65536L - 5) }));
            Assert.That(next, Is.Null);
            Assert.That(node.DirtyRanges(busy, 100 * MiB, 10, out _), Is.Empty);
            Assert.That(() => node.DirtyRanges(torn, 0, 10, out _), Throws.TypeOf<QmpException>());
        });
    }

    [Test]
    public void The_list_shows_the_newest_first_with_jobs_bitmaps_unnamed()
    {
        var node = new NodeBitmaps(64 * MiB);
        node.Add("b0", 65536);
        node.Add("b1", 4096, disabled: true);
        node.AddAnonymous(65536, dirty: true);
        Assert.That(node.List(), Is.EqualTo(new[]
        {
            new DirtyBitmapInfo(null, 64 * MiB, 65536, true, false, false, false),
            new DirtyBitmapInfo("b1", 0, 4096, false, false, false, false),
            new DirtyBitmapInfo("b0", 0, 65536, true, false, false, false),
        }));
    }

    [TestCase("", 65536u, "Bitmap name cannot be empty")]
    [TestCase("b0", 65536u, "Bitmap already exists: b0")]
    [TestCase("b1", 256u, "Granularity must be power of 2 and at least 512")]
    [TestCase("b1", 1000u, "Granularity must be power of 2 and at least 512")]
    public void A_bad_add_is_refused_in_QEMUs_words(string name, uint granularity, string expected)
    {
        var node = new NodeBitmaps(64 * MiB);
        node.Add("b0", 65536);
        Assert.That(() => node.Add(name, granularity), Throws.TypeOf<QmpException>().With.Message.EqualTo(expected));
    }

    [Test]
    public void A_name_of_1023_bytes_is_accepted_and_one_more_is_too_long()
    {
        var node = new NodeBitmaps(64 * MiB);
        string longest = new('x', 1023);
        node.Add(longest, 65536);
        string text = $"Bitmap name too long: {longest}x";
        Assert.That(() => node.Add(longest + "x", 65536), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
    }

    [Test]
    public void Persistent_is_refused_where_nothing_can_be_stored()
    {
        var node = new NodeBitmaps(64 * MiB, "n");
        Assert.That(
            () => node.Add("b0", 65536, persistent: true),
            Throws.TypeOf<QmpException>().With.Message.EqualTo("Can't store persistent bitmaps to n: Operation not supported"));
    }

    [Test]
    public void A_busy_bitmap_is_refused_every_use_but_still_records()
    {
        var node = new NodeBitmaps(64 * MiB);
        DirtyBitmap bitmap = node.Add("b0", 65536);
        DirtyBitmap other = node.Add("b1", 65536);
        node.SetBusy(bitmap);
        const string text = "Bitmap 'b0' is currently in use by another operation and cannot be used";
        Assert.Multiple(() =>
        {
            Assert.That(() => node.Clear(bitmap), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
            Assert.That(() => node.Enable(bitmap), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
            Assert.That(() => node.Disable(bitmap), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
            Assert.That(() => node.PrepareRemove(bitmap), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
            Assert.That(() => node.SetBusy(bitmap), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
            Assert.That(() => node.CreateSuccessor(bitmap), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
            Assert.That(() => node.Merge(bitmap, [other]), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
            Assert.That(() => node.Merge(other, [bitmap]), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
        });
        node.MarkWritten(0, 1);
        Assert.That(node.CountDirtyBytes(bitmap), Is.EqualTo(65536));
    }

    [Test]
    public void A_read_only_bitmap_cannot_be_modified_or_removed_but_can_be_merged_from_and_disabled()
    {
        var node = new NodeBitmaps(MiB);
        DirtyBitmap stored = node.AddStored("per", new HierarchicalBitmap(MiB, 65536), enabled: true, readOnly: true, inconsistent: false);
        DirtyBitmap other = node.Add("b0", 65536);
        const string text = "Bitmap 'per' is readonly and cannot be modified";
        Assert.That(() => node.Clear(stored), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
        Assert.That(() => node.PrepareRemove(stored), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
        Assert.That(() => node.Merge(stored, [other]), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
        Assert.That(() => node.Merge(other, [stored]), Throws.Nothing);
        Assert.That(node.Disable(stored), Is.True);
    }

    [Test]
    public void An_inconsistent_bitmap_may_only_be_removed()
    {
        var node = new NodeBitmaps(MiB);
        DirtyBitmap stored = node.AddStored("inc", new HierarchicalBitmap(MiB, 65536), enabled: true, readOnly: false, inconsistent: true);
        DirtyBitmap other = node.Add("b0", 65536);
        const string text = "Bitmap 'inc' is inconsistent and cannot be used";
        Assert.That(() => node.Clear(stored), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
        Assert.That(() => node.Enable(stored), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
        Assert.That(() => node.SetBusy(stored), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
        Assert.That(() => node.Merge(other, [stored]), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
        Assert.That(stored.IsRecording, Is.False);
        Assert.That(() => node.PrepareRemove(stored), Throws.Nothing);
    }

    [Test]
    public void Bitmaps_of_different_sizes_do_not_merge()
    {
        var small = new NodeBitmaps(MiB);
        var large = new NodeBitmaps(2 * MiB);
        DirtyBitmap source = small.Add("s", 65536);
        DirtyBitmap target = large.Add("t", 65536);
        Assert.That(
            () => large.Merge(target, [source]),
            Throws.TypeOf<QmpException>().With.Message.EqualTo(
                "Bitmaps are of different sizes (destination size is 2097152, source size is 1048576) and can't be merged"));
    }

    [Test]
    public void Merge_takes_from_other_nodes_and_its_undo_gives_back_what_was_there()
    {
        var one = new NodeBitmaps(MiB);
        var two = new NodeBitmaps(MiB);
        DirtyBitmap target = one.Add("t", 65536);
        DirtyBitmap source = two.Add("s", 4096);
        one.MarkWritten(0, 1);
        two.MarkWritten(5 * 65536, 1);
        HierarchicalBitmap backup = one.Merge(target, [source, target]);
        Assert.That(one.CountDirtyBytes(target), Is.EqualTo(2 * 65536));
        one.Restore(target, backup);
        Assert.That(one.CountDirtyBytes(target), Is.EqualTo(65536));
        Assert.That(() => one.Merge(target, []), Throws.Nothing);
    }

    [Test]
    public void An_undone_clear_keeps_what_was_recorded_since()
    {
        var node = new NodeBitmaps(MiB);
        DirtyBitmap bitmap = node.Add("b0", 65536);
        node.MarkWritten(0, 1);
        HierarchicalBitmap backup = node.Clear(bitmap);
        node.MarkWritten(65536, 1);
        node.RestoreClear(bitmap, backup);
        Assert.That(node.CountDirtyBytes(bitmap), Is.EqualTo(2 * 65536));
    }

    [Test]
    public void Abdication_leaves_what_was_written_meanwhile_and_reclaiming_leaves_all()
    {
        foreach (bool success in new[] { true, false })
        {
            var node = new NodeBitmaps(MiB);
            DirtyBitmap bitmap = node.Add("b0", 65536);
            node.MarkWritten(0, 1);
            node.CreateSuccessor(bitmap);
            Assert.That((bitmap.IsBusy, bitmap.IsRecording, bitmap.IsEnabled), Is.EqualTo((true, true, false)));
            node.MarkWritten(65536, 1);
            Assert.That(node.CountDirtyBytes(bitmap), Is.EqualTo(65536));
            if (success)
                node.Abdicate(bitmap);
            else
                node.Reclaim(bitmap);
            Assert.That(node.CountDirtyBytes(bitmap), Is.EqualTo(success ? 65536 : 2 * 65536));
            Assert.That((bitmap.IsBusy, bitmap.IsEnabled, node.List().Count), Is.EqualTo((false, true, 1)));
        }
    }

    [Test]
    public void A_successor_is_listed_unnamed_and_the_heir_stands_in_its_place()
    {
        var node = new NodeBitmaps(MiB);
        DirtyBitmap bitmap = node.Add("b0", 65536);
        node.Add("b1", 65536);
        node.CreateSuccessor(bitmap);
        Assert.That(node.List().Select(info => (info.Name, info.Recording, info.Busy)), Is.EqualTo(new[]
        {
            ((string?)null, true, false), ("b1", true, false), ("b0", true, true),
        }));
        node.Abdicate(bitmap);
        Assert.That(node.List().Select(info => info.Name), Is.EqualTo(new[] { "b0", "b1" }));
    }

    [Test]
    public void A_prepared_removal_keeps_the_name_taken_until_it_is_done()
    {
        var node = new NodeBitmaps(MiB);
        DirtyBitmap bitmap = node.Add("b0", 65536);
        node.PrepareRemove(bitmap);
        Assert.That(() => node.Add("b0", 65536), Throws.TypeOf<QmpException>().With.Message.EqualTo("Bitmap already exists: b0"));
        node.AbortRemove(bitmap);
        Assert.That((bitmap.IsBusy, bitmap.IsStoreSkipped), Is.EqualTo((false, false)));
        node.PrepareRemove(bitmap);
        node.Release(bitmap);
        Assert.That(() => node.Find("b0"), Throws.TypeOf<QmpException>().With.Message.EqualTo("Dirty bitmap 'b0' not found"));
    }

    [Test]
    public void Taking_areas_cleans_as_it_goes_and_a_later_write_is_found_again()
    {
        var node = new NodeBitmaps(10 * 65536 + 100);
        DirtyBitmap bitmap = node.AddAnonymous(65536, dirty: true);
        Assert.That(node.TakeDirtyArea(bitmap, 0, long.MaxValue, 200_000, out long offset, out long length), Is.True);
        Assert.That((offset, length), Is.EqualTo((0L, 3 * 65536L)));
        node.MarkWritten(65536, 1);
        Assert.That(node.TakeDirtyArea(bitmap, 0, long.MaxValue, 1, out offset, out length), Is.True);
        Assert.That((offset, length), Is.EqualTo((65536L, 65536L)));
        Assert.That(node.TakeDirtyArea(bitmap, 0, long.MaxValue, long.MaxValue, out offset, out length), Is.True);
        Assert.That((offset, length), Is.EqualTo((3 * 65536L, 7 * 65536L + 100)));
        Assert.That(node.TakeDirtyArea(bitmap, 0, long.MaxValue, long.MaxValue, out _, out _), Is.False);
        node.SetDirty(bitmap, 70_000, 1);
        Assert.That(node.CountDirtyBytes(bitmap), Is.EqualTo(65536));
    }

    [Test]
    public void A_thousand_bitmaps_of_one_history_cost_little_more_than_one()
    {
        const long size = 1L << 40;
        var node = new NodeBitmaps(size);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
            node.Add($"b{i}", 65536);
        long clean = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.That(clean / 1000, Is.LessThanOrEqualTo(1024));
        var random = new Random(1);
        for (int i = 0; i < 200; i++)
            node.MarkWritten(random.NextInt64(size), 1);
        before = GC.GetAllocatedBytesForCurrentThread();
        Assert.That(node.List().Select(info => info.CountBytes).Distinct().Single(), Is.InRange(190 << 16, 200 << 16));
        long dirty = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.That(dirty / 1000, Is.LessThanOrEqualTo(40 << 10));
    }

    [Test]
    public void A_job_that_looks_all_the_time_leaves_the_clients_bitmaps_exact()
    {
        var node = new NodeBitmaps(1 << 30);
        DirtyBitmap job = node.AddAnonymous(65536);
        DirtyBitmap[] clients = [node.Add("b0", 65536), node.Add("b1", 4096), node.Add("b2", 65536, disabled: true)];
        for (int i = 0; i < 100; i++)
        {
            node.MarkWritten(i << 20, 1);
            Assert.That(node.TakeDirtyArea(job, 0, 1 << 30, 65536, out long offset, out _), Is.True);
            Assert.That(offset, Is.EqualTo(i << 20));
            if (i == 49)
                node.Disable(clients[1]);
        }

        Assert.That(clients.Select(node.CountDirtyBytes), Is.EqualTo([100 * 65536, 50 * 4096, 0]));
        Assert.That(node.CountDirtyBytes(job), Is.Zero);
    }

    [Test]
    public void A_write_where_one_was_before_allocates_nothing()
    {
        var node = new NodeBitmaps(64 * MiB);
        node.Add("b0", 4096);
        node.MarkWritten(0, 64 * MiB);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
            node.MarkWritten(i * 60_000L, 100_000);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    [Test]
    public void Growth_keeps_marks_made_before_and_after_it()
    {
        var node = new NodeBitmaps(0);
        DirtyBitmap bitmap = node.Add("b0", 512);
        for (long size = 512; size <= 4 << 20; size *= 2)
        {
            node.Resize(size);
            node.MarkWritten(size - 512, 512);
        }

        Assert.That(node.CountDirtyBytes(bitmap), Is.EqualTo(14 * 512));
    }
}
