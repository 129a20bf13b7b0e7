using Monitor.Block.Bitmaps;
using NUnit.Framework;

namespace Unit.Bitmaps;

/// <summary>
/// The three sentences about writes and commands, with writers on several threads. Each write takes a ticket from one counter when it
/// begins and one when it is acknowledged; each command takes one when it begins and one when it returns. So "acknowledged before the command"
/// is "its second ticket is below the command's first", and the rest likewise. A write in flight while a bitmap finer than the log begins
/// may dirty what the log's granule around it covers.
/// </summary>
public sealed class NodeBitmapsConcurrencyTests
{
    private const int Writers = 3;
    private const int Rounds = 30;
    private const int WritesPerRound = 1_000;
    private const int Granules = 1 << 16;
    private const uint Granularity = 512;
    private const int CoarseFactor = 8;
    private const long Size = (long)Granules * Granularity;
    private long _ticket;
    private int _round;

    [Test]
    public void A_write_acknowledged_before_a_change_or_begun_after_it_is_on_its_side([Values(1, 2, 3, 4)] int seed)
    {
        var node = new NodeBitmaps(Size);
        DirtyBitmap always = node.Add("always", CoarseFactor * Granularity);
        _round = 0;
        var writes = new Write[Writers][];
        var threads = Enumerable.Range(0, Writers)
            .Select(writer => new Thread(() => writes[writer] = WriteAll(node, new Random((seed * 100) + writer)))).ToList();
        threads.ForEach(thread => thread.Start());
        var epochs = Enumerable.Range(0, Rounds).Select(round => RecordForAWhile(node, round, new Random((seed * 1000) + round))).ToList();
        threads.ForEach(thread => thread.Join());

        var all = writes.SelectMany(list => list).ToList();
        HierarchicalBitmap everything = node.CopyContent(always);
        var written = all.Select(write => write.Granule / CoarseFactor).ToHashSet();
        for (int granule = 0; granule < Granules / CoarseFactor; granule++)
        {
            bool dirty = everything.IsDirty((long)granule * CoarseFactor * Granularity);
            Assert.That(dirty, Is.EqualTo(written.Contains(granule)), $"seed {seed} granule {granule}");
        }

        foreach (Epoch epoch in epochs)
            Check(epoch, all, seed);
    }

    [Test]
    public void No_write_is_lost_to_one_that_takes_areas_while_it_goes_on([Values(5, 6, 7)] int seed)
    {
        var node = new NodeBitmaps(Size);
        DirtyBitmap bitmap = node.AddAnonymous(4096);
        int[] data = new int[Granules];
        int[] copy = new int[Granules];
        var threads = Enumerable.Range(0, Writers)
            .Select(writer => new Thread(() => Increment(node, data, new Random((seed * 100) + writer)))).ToList();
        threads.ForEach(thread => thread.Start());
        while (threads.Exists(thread => thread.IsAlive))
            CopyDirty(node, bitmap, data, copy);
        threads.ForEach(thread => thread.Join());
        CopyDirty(node, bitmap, data, copy);
        Assert.That(copy, Is.EqualTo(data), $"seed {seed}");
        Assert.That(node.CountDirtyBytes(bitmap), Is.Zero);
    }

    [Test]
    public void A_walk_over_the_runs_shows_one_instant_whatever_is_written_and_looked_at_meanwhile([Values] bool isJobs)
    {
        var node = new NodeBitmaps(Size);
        node.Add("of the same history", Granularity);
        DirtyBitmap bitmap = isJobs ? node.AddAnonymous(Granularity) : node.Add("b", Granularity);
        node.MarkWritten(0, 1);
        HeldThread? meanwhile = null;
        var runs = new List<(long Length, bool IsDirty)>();
        node.TellRuns(bitmap, 0, Size, (length, isDirty) =>
        {
            meanwhile ??= new HeldThread(() =>
            {
                node.MarkWritten(Size / 2, 1);
                node.List();
            });
            runs.Add((length, isDirty));
            return true;
        });
        meanwhile!.Join();
        Assert.That(runs, Is.EqualTo(new[] { (Granularity, true), (Size - Granularity, false) }));
        Assert.That(node.IsDirty(bitmap, Size / 2, Size, out _), Is.True);
    }

    [Test]
    public void A_page_of_ranges_shows_one_instant_with_every_write_acknowledged_before_it()
    {
        // Every fourth granule is dirty, so that a page takes its time. The writer dirties the one two behind each of them in the lower half
        // and then its partner in the upper half: no instant shows partners that are ahead.
        const int Pairs = 1 << 17;
        const long Middle = 4L * Pairs * Granularity;
        var node = new NodeBitmaps(2 * Middle);
        DirtyBitmap bitmap = node.Add("b", Granularity);
        for (long i = 0; i < 2 * Pairs; i++)
            node.MarkWritten(4 * i * Granularity, 1);
        int written = 0;
        int pages = 0;
        var writer = new Thread(() =>
        {
            while (Volatile.Read(ref pages) == 0)
                Thread.Yield();
            for (int i = 0; i < Pairs; i++)
            {
                node.MarkWritten(((4L * i) + 2) * Granularity, 1);
                node.MarkWritten(Middle + (((4L * i) + 2) * Granularity), 1);
                Volatile.Write(ref written, i + 1);
                Thread.SpinWait(30);
            }
        });
        writer.Start();
        for (bool isLast = false; !isLast; pages++)
        {
            isLast = !writer.IsAlive;
            int before = Volatile.Read(ref written);
            IReadOnlyList<(long Offset, long Length)> ranges = node.DirtyRanges(bitmap, 0, int.MaxValue, out _);
            int lower = ranges.Count(range => range.Offset < Middle) - Pairs;
            int upper = ranges.Count(range => range.Offset >= Middle) - Pairs;
            Assert.That(upper, Is.AtLeast(before));
            Assert.That(lower, Is.AtLeast(upper).And.AtMost(upper + 1));
        }

        Assert.That(written, Is.EqualTo(Pairs));
    }

    [Test]
    public void Merges_clears_and_successors_under_writes_lose_no_mark([Values(8, 9)] int seed)
    {
        var node = new NodeBitmaps(Size);
        DirtyBitmap target = node.Add("target", Granularity);
        DirtyBitmap clean = node.Add("clean", CoarseFactor * Granularity, disabled: true);
        int[] data = new int[Granules];
        var threads = Enumerable.Range(0, Writers)
            .Select(writer => new Thread(() => WriteOnce(node, data, writer))).ToList();
        var looker = new Thread(() =>
        {
            while (threads.Exists(thread => thread.IsAlive))
                node.List();
        });
        threads.ForEach(thread => thread.Start());
        looker.Start();
        var taken = new HierarchicalBitmap(Size, Granularity);
        var random = new Random(seed);
        while (threads.Exists(thread => thread.IsAlive))
            Change(node, target, clean, taken, random.Next(4));
        threads.ForEach(thread => thread.Join());
        looker.Join();
        taken.Merge(node.CopyContent(target));
        for (int granule = 0; granule < Granules; granule++)
            Assert.That(taken.IsDirty(granule * (long)Granularity), Is.EqualTo(data[granule] > 0), $"seed {seed} granule {granule}");
    }

    [Test]
    public void A_writer_that_looks_after_its_acknowledgement_finds_its_mark_whoever_folds_meanwhile()
    {
        var node = new NodeBitmaps(Size);
        DirtyBitmap bitmap = node.AddAnonymous(Granularity);
        int lost = 0;
        var threads = Enumerable.Range(0, Writers).Select(writer => new Thread(() =>
        {
            long offset = writer * (long)Granularity;
            for (int i = 0; i < 300_000; i++)
            {
                node.MarkWritten(offset, 1);
                if (!node.TakeDirtyArea(bitmap, offset, offset + Granularity, Granularity, out _, out _))
                    Interlocked.Increment(ref lost);
            }
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
        Assert.That(lost, Is.Zero);
    }

    private static void Change(NodeBitmaps node, DirtyBitmap target, DirtyBitmap clean, HierarchicalBitmap taken, int what)
    {
        if (what == 0)
        {
            node.Merge(target, [clean]);
        }
        else if (what == 1)
        {
            taken.Merge(node.Clear(target));
        }
        else
        {
            node.CreateSuccessor(target);
            if (what == 2)
                node.Reclaim(target);
            else
                taken.Merge(node.Abdicate(target));
        }
    }

    /// <summary>Each granule once, so that a mark lost is not made good by a later one.</summary>
    private static void WriteOnce(NodeBitmaps node, int[] data, int writer)
    {
        for (int granule = writer; granule < Granules; granule += Writers)
        {
            data[granule] = 1;
            node.MarkWritten(granule * (long)Granularity, Granularity);
            Thread.SpinWait(50);
        }
    }

    private static void Increment(NodeBitmaps node, int[] data, Random random)
    {
        for (int i = 0; i < 100_000; i++)
        {
            int granule = random.Next(2) == 0 ? random.Next(256) : random.Next(Granules);
            Interlocked.Increment(ref data[granule]);
            node.MarkWritten(granule * (long)Granularity, Granularity);
        }
    }

    private static void CopyDirty(NodeBitmaps node, DirtyBitmap bitmap, int[] data, int[] copy)
    {
        while (node.TakeDirtyArea(bitmap, 0, Size, Size, out long offset, out long length))
        {
            for (long granule = offset / Granularity; granule < (offset + length) / Granularity; granule++)
                copy[granule] = Volatile.Read(ref data[granule]);
        }
    }

    private static void Check(Epoch epoch, List<Write> all, int seed)
    {
        foreach (Write write in all)
        {
            bool dirty = epoch.Content.IsDirty(write.Granule * (long)Granularity);
            bool wholly = write.Begun > epoch.EnabledAt && write.Acknowledged < epoch.DisablingAt;
            if (wholly && !dirty)
                Assert.Fail($"seed {seed}: granule {write.Granule} written while '{epoch.Name}' recorded is not in it");
        }

        var possible = all.Where(write => write.Acknowledged > epoch.EnablingAt && write.Begun < epoch.DisabledAt)
            .Select(write => write.Granule).ToHashSet();
        var coarselyPossible = all.Where(write => write.Acknowledged > epoch.EnablingAt && write.Begun < epoch.EnabledAt)
            .Select(write => write.Granule / CoarseFactor).ToHashSet();
        for (int granule = 0; granule < Granules; granule++)
        {
            bool mayBeDirty = possible.Contains(granule) || coarselyPossible.Contains(granule / CoarseFactor);
            if (epoch.Content.IsDirty(granule * (long)Granularity) && !mayBeDirty)
                Assert.Fail($"seed {seed}: granule {granule} is in '{epoch.Name}' though no write of it was under way while that recorded");
        }
    }

    /// <summary>Writes in step with the rounds, so that each round meets writes.</summary>
    private Write[] WriteAll(NodeBitmaps node, Random random)
    {
        var writes = new Write[Rounds * WritesPerRound];
        for (int i = 0; i < writes.Length; i++)
        {
            while (i >= Volatile.Read(ref _round) * WritesPerRound)
                Thread.Yield();
            int granule = random.Next(Granules);
            long begun = Interlocked.Increment(ref _ticket);
            node.MarkWritten(granule * (long)Granularity, Granularity);
            writes[i] = new Write(granule, begun, Interlocked.Increment(ref _ticket));
        }

        return writes;
    }

    /// <summary>Lets a bitmap record for a while, by adding or enabling it, some with a successor, some finer than the log was.</summary>
    private Epoch RecordForAWhile(NodeBitmaps node, int round, Random random)
    {
        DirtyBitmap recorder = node.TryFind("toggled") ?? node.Add("toggled", Granularity, disabled: true);
        long enabling = Interlocked.Increment(ref _ticket);
        if (round % 3 == 0)
            recorder = node.Add($"added{round}", Granularity);
        else
            node.Enable(recorder);
        long enabled = Interlocked.Increment(ref _ticket);
        Volatile.Write(ref _round, round + 1);
        while (Volatile.Read(ref _ticket) < enabled + random.Next(1, Writers * WritesPerRound))
            node.CountDirtyBytes(recorder);
        if (round % 3 == 2)
            PassThroughSuccessor(node, recorder, random);
        long disabling = Interlocked.Increment(ref _ticket);
        node.Disable(recorder);
        long disabled = Interlocked.Increment(ref _ticket);
        var epoch = new Epoch($"{recorder.Name} round {round}", enabling, enabled, disabling, disabled, node.CopyContent(recorder));
        node.Clear(recorder);
        if (recorder.Name != "toggled")
            node.Release(recorder);
        return epoch;
    }

    private static void PassThroughSuccessor(NodeBitmaps node, DirtyBitmap recorder, Random random)
    {
        node.CreateSuccessor(recorder);
        for (int i = random.Next(100); i > 0; i--)
            node.List();
        node.Reclaim(recorder);
    }

    private readonly record struct Write(int Granule, long Begun, long Acknowledged);

    private sealed record Epoch(
        string Name, long EnablingAt, long EnabledAt, long DisablingAt, long DisabledAt, HierarchicalBitmap Content);
}
