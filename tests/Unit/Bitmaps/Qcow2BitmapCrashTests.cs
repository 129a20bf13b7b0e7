using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;
using Unit.Qcow2;

namespace Unit.Bitmaps;

/// <summary>A whole qcow2 image with bitmaps and guest writes loses power at every write and flush of its life in turn.</summary>
public sealed class Qcow2BitmapCrashTests
{
    private const int Size = 1 << 20;

    [Test]
    public Task Whenever_power_fails_each_stored_bitmap_is_exact_or_in_use([Values(1, 2)] int seed, [Values(512, 4096)] int clusterBytes) =>
        FailEverywhereAsync(new Life(seed), seed, clusterBytes, stride: 1);

    [Test]
    public Task Whenever_power_fails_while_the_image_is_reopened_or_changes_hands_each_bitmap_is_exact_or_in_use(
        [Values(Turn.Reopen, Turn.HandOver)] Turn turn, [Values(512, 4096)] int clusterBytes) =>
        FailEverywhereAsync(new Life(4) { Between = turn }, 4, clusterBytes, stride: 1);

    [Test]
    public Task Whenever_power_fails_several_hundred_bitmaps_are_exact_or_in_use([Values] Turn turn) =>
        FailEverywhereAsync(new Life(5) { Between = turn, Crowd = 300 }, 5, clusterBytes: 512, stride: 97);

    private static async Task FailEverywhereAsync(Life life, int seed, int clusterBytes, int stride)
    {
        var random = new Random(seed);
        bool finished = false;
        for (int step = 0; !finished; step += stride)
        {
            StorageContent image = await TestImage.CreateAsync(Size, clusterBytes);
            var storage = new StorageNode(image) { StopsAt = step };
            life = life.Anew();
            finished = await life.LiveAsync(storage);
            StorageContent left = storage.AfterPowerFailure(random);
            string when = $"seed {seed}, power failed at operation {step}";
            Assert.That(ImageChecker.Check(left.ToArray()).Corruptions, Is.Empty, when);
            await CheckBitmapsAsync(left, life, when);
        }
    }

    [Test]
    public async Task A_disk_full_at_any_write_of_the_store_leaves_each_bitmap_exact_or_in_use([Values(512, 65536)] int clusterBytes)
    {
        bool stored = false;
        for (int writes = 0; !stored; writes++)
        {
            var storage = new StorageNode(await TestImage.CreateAsync(Size, clusterBytes));
            var life = new Life(3);
            await life.LiveAsync(storage, sessions: 1);
            Qcow2Node node = await TestImage.OpenAsync(storage);
            await life.UseAsync(node, 1);
            int left = writes;
            storage.FailsWrite = _ => left-- <= 0;
            await node.CloseAsync();
            storage.FailsWrite = null;
            stored = left >= 0;
            string when = $"clusters of {clusterBytes}, full after {writes} writes";
            Assert.That(ImageChecker.Check(storage.Bytes).Corruptions, Is.Empty, when);
            await CheckBitmapsAsync(storage.Content, life, when);
        }
    }

    private static async Task CheckBitmapsAsync(StorageContent left, Life life, string when)
    {
        Qcow2Node node = await TestImage.OpenAsync(new StorageNode(left, readOnly: true), readOnly: true);
        foreach (DirtyBitmap bitmap in node.Bitmaps.Named())
        {
            if (!bitmap.IsInconsistent)
                Assert.That(node.Bitmaps.Sha256(bitmap), Is.EqualTo(life.Exact[bitmap.Name!]), $"{when}: '{bitmap.Name}'");
        }

        foreach (string name in life.Stored)
            Assert.That(node.Bitmaps.TryFind(name), Is.Not.Null, $"{when}: '{name}' was stored and is gone");
    }

    /// <summary>What happens to the image between two sessions, before it is closed.</summary>
    public enum Turn
    {
        /// <summary>Nothing.</summary>
        None,

        /// <summary>It is made read-only, then writable.</summary>
        Reopen,

        /// <summary>It is handed over and taken back.</summary>
        HandOver,
    }

    private sealed class Life(int seed)
    {
        private readonly Random _random = new(seed);

        internal Turn Between { get; init; }

        /// <summary>Bitmaps that are there beside the ones that the sessions use.</summary>
        internal int Crowd { get; init; }

        /// <summary>What each bitmap must hold if it does not say that it is in use: what it held at the last guest write.</summary>
        internal Dictionary<string, string> Exact { get; } = [];

        /// <summary>The bitmaps whose store completed and that nobody began to remove since.</summary>
        internal HashSet<string> Stored { get; } = [];

        internal async Task<bool> LiveAsync(StorageNode storage, int sessions = 3)
        {
            for (int session = 0; session < sessions; session++)
            {
                Qcow2Node node;
                try
                {
                    node = await TestImage.OpenAsync(storage);
                    await UseAsync(node, session);
                    await TurnAsync(node);
                }
                catch (Exception e) when (storage.HasStopped && e is BlockIoException or QmpException)
                {
                    return false;
                }

                await node.CloseAsync();
                if (storage.HasStopped)
                    return false;
                Stored.UnionWith(node.Bitmaps.Named().Select(bitmap => bitmap.Name!));
            }

            return true;
        }

        /// <summary>The same life from its beginning.</summary>
        internal Life Anew() => new(seed) { Between = Between, Crowd = Crowd };

        private async Task TurnAsync(Qcow2Node node)
        {
            if (Between == Turn.None)
                return;
            await node.LeaveWritableAsync();
            Stored.UnionWith(node.Bitmaps.Named().Select(bitmap => bitmap.Name!));
            if (Between == Turn.HandOver)
            {
                node.IsActive = false;
                node.OnInactivated();
                Assert.That(node.Bitmaps.Named(), Is.Empty);
                node.IsActive = true;
                await node.EnterActiveAsync();
            }
            else
            {
                await node.EnterWritableAsync();
            }

            Assert.That(node.Bitmaps.Named().ToDictionary(bitmap => bitmap.Name!, node.Bitmaps.Sha256), Is.SubsetOf(Exact));
            await WriteAsync(node, _random.Next(Size / 2), new byte[10_000]);
        }

        /// <summary>A bitmap is added, the guest writes; later the one before it is merged into it and removed.</summary>
        internal async Task UseAsync(Qcow2Node node, int session)
        {
            node.Bitmaps.Add($"b{session}", 4096, persistent: true);
            for (int i = 0; i < Crowd && session == 0; i++)
                node.Bitmaps.Add($"crowd{i}", 512u << (i % 8), persistent: true, disabled: i % 3 == 0);
            for (int i = 0; i < 4; i++)
            {
                byte[] data = new byte[_random.Next(1, 20_000)];
                _random.NextBytes(data);
                await WriteAsync(node, _random.Next(Size - data.Length), data);
            }

            if (session == 0)
                return;
            DirtyBitmap removed = node.Bitmaps.Find($"b{session - 1}");
            node.Bitmaps.Merge(node.Bitmaps.Find($"b{session}"), [removed]);
            NoteExact(node);
            node.Bitmaps.PrepareRemove(removed);
            Stored.Remove(removed.Name!);
            node.Bitmaps.Release(removed);
            await node.Bitmaps.Store!.RemoveGoneAsync();
            await node.FlushAsync();
        }

        /// <summary>From the write's beginning no bitmap may be exact without it.</summary>
        private async Task WriteAsync(Qcow2Node node, long offset, byte[] data)
        {
            Exact.Clear();
            try
            {
                await node.WriteAsync(offset, data);
            }
            finally
            {
                NoteExact(node);
            }
        }

        private void NoteExact(Qcow2Node node)
        {
            foreach (DirtyBitmap bitmap in node.Bitmaps.Named())
                Exact[bitmap.Name!] = node.Bitmaps.Sha256(bitmap);
        }
    }
}
