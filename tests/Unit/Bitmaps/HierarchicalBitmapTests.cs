using System.Security.Cryptography;
using Monitor.Block.Bitmaps;
using NUnit.Framework;

namespace Unit.Bitmaps;

public sealed class HierarchicalBitmapTests
{
    private const long TiB = 1L << 40;

    [Test]
    public void Random_operations_agree_with_one_bool_per_granule([Values(1, 2, 3, 4, 5, 6)] int seed)
    {
        var random = new Random(seed);
        uint granularity = 1u << random.Next(9, 32);
        long granules = random.Next(1, seed % 2 == 0 ? 20_000 : 600_000);
        long size = Math.Max(1, granules * granularity - random.NextInt64(granularity));
        var bitmap = new HierarchicalBitmap(size, granularity);
        var naive = new NaiveBitmap(size, granularity);
        for (int step = 0; step < 1_500; step++)
        {
            long offset = random.NextInt64(naive.Size);
            long length = random.NextInt64(1, 1 + granularity * (random.Next(4) == 0 ? granules / 4 : 70L));
            switch (random.Next(8))
            {
                case 0 or 1:
                    bitmap.Set(offset, length);
                    naive.Set(offset, length);
                    break;
                case 2 or 3:
                    offset -= offset % granularity;
                    length = Math.Min((length / granularity + 1) * granularity, naive.Size - offset);
                    bitmap.Reset(offset, length);
                    naive.Reset(offset, length);
                    break;
                case 4 when random.Next(50) == 0:
                    size = Math.Max(1, random.NextInt64(1, 2 * granules) * granularity - random.NextInt64(granularity));
                    bitmap.Resize(size);
                    naive.Resize(size);
                    break;
                case 5 when random.Next(50) == 0:
                    bitmap.Clear();
                    naive.Clear();
                    break;
                default:
                    long end = offset + length;
                    long max = random.NextInt64(1, length + 1);
                    bool found = bitmap.NextDirtyArea(offset, end, max, out long areaOffset, out long areaLength);
                    (long, long)? area = found ? (areaOffset, areaLength) : null;
                    Assert.That(area, Is.EqualTo(naive.NextDirtyArea(offset, end, max)), $"seed {seed} step {step}");
                    break;
            }

            Assert.That(bitmap.DirtyBytes, Is.EqualTo(naive.DirtyBytes), $"seed {seed} step {step}");
        }

        Assert.That(Bits(bitmap).AsSpan().SequenceEqual(naive.Bits), Is.True, $"seed {seed}");
    }

    [Test]
    public void Merging_any_granularities_dirties_what_the_source_covers([Values(7, 8, 9, 10)] int seed)
    {
        var random = new Random(seed);
        for (int round = 0; round < 40; round++)
        {
            long size = random.NextInt64(1, 8 << 20);
            uint from = 1u << random.Next(9, 21);
            uint to = 1u << random.Next(9, 21);
            (HierarchicalBitmap source, NaiveBitmap naiveSource) = RandomPair(random, size, from);
            (HierarchicalBitmap target, NaiveBitmap naiveTarget) = RandomPair(random, size, to);
            target.Merge(source);
            naiveTarget.Merge(naiveSource);
            bool equal = Bits(target).AsSpan().SequenceEqual(naiveTarget.Bits);
            Assert.That(equal, Is.True, $"seed {seed} round {round}: {from} into {to}, size {size}");
        }
    }

    [Test]
    public void Data_goes_out_least_significant_bit_first_and_comes_back_the_same([Values(11, 12, 13)] int seed)
    {
        var random = new Random(seed);
        (HierarchicalBitmap bitmap, NaiveBitmap naive) = RandomPair(random, random.NextInt64(1, 64 << 20), 512);
        byte[] expected = new byte[bitmap.DataLength];
        for (int granule = 0; granule < naive.Bits.Length; granule++)
            expected[granule / 8] |= (byte)((naive.Bits[granule] ? 1 : 0) << (granule % 8));
        byte[] data = new byte[bitmap.DataLength];
        bitmap.ReadData(0, data);
        Assert.That(data.AsSpan().SequenceEqual(expected), Is.True, $"seed {seed}");

        var copy = new HierarchicalBitmap(naive.Size, 512);
        copy.SetData(0, bitmap.DataLength);
        for (int position = 0; position < data.Length; position += 512)
            copy.WriteData(position, data.AsSpan(position, Math.Min(512, data.Length - position)));
        Assert.That(Bits(copy).AsSpan().SequenceEqual(naive.Bits), Is.True, $"seed {seed}");
        Assert.That(copy.DirtyBytes, Is.EqualTo(bitmap.DirtyBytes), $"seed {seed}");
    }

    [Test]
    public void Bits_past_the_last_granule_are_not_taken_from_data()
    {
        var bitmap = new HierarchicalBitmap(3 * 512, 512);
        bitmap.WriteData(0, Enumerable.Repeat((byte)0xff, 4096).ToArray());
        Assert.That(bitmap.DirtyBytes, Is.EqualTo(3 * 512));
    }

    [Test]
    public void Uniform_stretches_are_recognised_and_a_last_partial_one_is_never_all_ones()
    {
        var bitmap = new HierarchicalBitmap((3 * 4096 * 8 - 1) * 512L, 512);
        bitmap.SetData(4096, 4096);
        bitmap.SetData(8192, 4096);
        Assert.That(bitmap.FindUniformity(0, 4096), Is.EqualTo(BitmapUniformity.Zeros));
        Assert.That(bitmap.FindUniformity(4096, 4096), Is.EqualTo(BitmapUniformity.Ones));
        Assert.That(bitmap.FindUniformity(8192, 4096), Is.EqualTo(BitmapUniformity.Mixed));
        Assert.That(bitmap.FindUniformity(0, 8192), Is.EqualTo(BitmapUniformity.Mixed));
    }

    [Test]
    public void The_hash_covers_whole_words_at_least_one()
    {
        Assert.That(new HierarchicalBitmap(0, 65536).Sha256(), Is.EqualTo(Convert.ToHexStringLower(SHA256.HashData(new byte[8]))));
        Assert.That(new HierarchicalBitmap(1 << 30, 65536).Sha256(), Is.EqualTo(Convert.ToHexStringLower(SHA256.HashData(new byte[2048]))));
    }

    [Test]
    public void A_part_of_a_granule_cannot_be_made_clean()
    {
        var bitmap = new HierarchicalBitmap(10_000, 4096);
        Assert.That(() => bitmap.Reset(0, 5000), Throws.ArgumentException);
        Assert.That(() => bitmap.Reset(512, 4096), Throws.ArgumentException);
        Assert.That(() => bitmap.Reset(8192, 10_000 - 8192), Throws.Nothing);
    }

    [Test]
    public void Bitmaps_that_share_memory_do_not_see_each_others_changes([Values(21, 22, 23, 24)] int seed)
    {
        var random = new Random(seed);
        uint granularity = 512;
        long size = (5 * 4096 * granularity) + random.Next(20_000);
        var family = Enumerable.Range(0, 5).Select(_ => RandomPair(random, size, granularity)).ToList();
        for (int step = 0; step < 400; step++)
        {
            int chosen = random.Next(family.Count);
            (HierarchicalBitmap bitmap, NaiveBitmap naive) = family[chosen];
            (HierarchicalBitmap source, NaiveBitmap naiveSource) = family[random.Next(family.Count)];
            long offset = random.NextInt64(size) / granularity * granularity;
            long length = Math.Min(random.NextInt64(1, random.Next(4) == 0 ? 5000 : 50) * granularity, size - offset);
            switch (random.Next(7))
            {
                case 0:
                    bitmap.Set(offset, length);
                    naive.Set(offset, length);
                    break;
                case 1:
                    bitmap.Reset(offset, length);
                    naive.Reset(offset, length);
                    break;
                case 2:
                    bitmap.Merge(source);
                    naive.Merge(naiveSource);
                    break;
                case 3:
                    family[chosen] = (source.Clone(), Copy(naiveSource));
                    break;
                case 4:
                    byte[] data = new byte[source.DataLength];
                    source.ReadData(0, data);
                    bitmap.WriteData(0, data, family[random.Next(family.Count)].Bitmap);
                    family[chosen] = (bitmap, Copy(naiveSource));
                    break;
                default:
                    var targets = family.Where(pair => pair.Bitmap != source && random.Next(2) == 0).ToList();
                    HierarchicalBitmap.MergeInto(targets.ConvertAll(pair => pair.Bitmap).ToArray(), source);
                    targets.ForEach(pair => pair.Naive.Merge(naiveSource));
                    break;
            }

            foreach ((HierarchicalBitmap real, NaiveBitmap twin) in family)
            {
                Assert.That(real.DirtyBytes, Is.EqualTo(twin.DirtyBytes), $"seed {seed} step {step}");
                Assert.That(Bits(real).AsSpan().SequenceEqual(twin.Bits), Is.True, $"seed {seed} step {step}");
            }
        }
    }

    [Test]
    public void Making_a_bitmap_costs_the_same_whatever_its_size()
    {
        long small = BytesAllocatedBy(() => _ = new HierarchicalBitmap(1, 512));
        Assert.That(BytesAllocatedBy(() => _ = new HierarchicalBitmap(HierarchicalBitmap.MaxGranules * 512, 512)), Is.EqualTo(small));
        Assert.That(small, Is.LessThanOrEqualTo(256));
    }

    [Test]
    public void What_is_wholly_dirty_and_what_is_the_same_costs_references_only()
    {
        var full = new HierarchicalBitmap(TiB, 65536);
        Assert.That(BytesAllocatedBy(() => full.Set(0, TiB)), Is.LessThanOrEqualTo(36 << 10));
        var random = new Random(1);
        var scattered = new HierarchicalBitmap(TiB, 65536);
        for (int i = 0; i < 100_000; i++)
            scattered.Set(random.NextInt64(TiB), 1);
        Assert.That(BytesAllocatedBy(() => scattered.Clone()), Is.LessThanOrEqualTo(36 << 10));
        byte[] data = new byte[scattered.DataLength];
        scattered.ReadData(0, data);
        var loaded = new HierarchicalBitmap(TiB, 65536);
        Assert.That(BytesAllocatedBy(() => loaded.WriteData(0, data, scattered)), Is.LessThanOrEqualTo(36 << 10));
        Assert.That(loaded.Sha256(), Is.EqualTo(scattered.Sha256()));
    }

    [Test]
    public void Memory_follows_content()
    {
        HierarchicalBitmap? bitmap = null;
        long clean = BytesAllocatedBy(() => bitmap = new HierarchicalBitmap(TiB, 65536));
        var random = new Random(1);
        long scattered = BytesAllocatedBy(() =>
        {
            for (int i = 0; i < 200; i++)
                bitmap!.Set(random.NextInt64(TiB), 1);
        });
        Assert.That(clean, Is.LessThanOrEqualTo(20 << 10));
        Assert.That(clean + scattered, Is.LessThanOrEqualTo(150 << 10));
    }

    private static long BytesAllocatedBy(Action action)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        action();
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private static NaiveBitmap Copy(NaiveBitmap naive)
    {
        var copy = new NaiveBitmap(naive.Size, naive.Granularity);
        copy.Merge(naive);
        return copy;
    }

    private static bool[] Bits(HierarchicalBitmap bitmap)
    {
        bool[] bits = new bool[HierarchicalBitmap.GranuleCount(bitmap.SizeBytes, bitmap.Granularity)];
        for (int granule = 0; granule < bits.Length; granule++)
            bits[granule] = bitmap.IsDirty((long)granule * bitmap.Granularity);
        return bits;
    }

    private static (HierarchicalBitmap Bitmap, NaiveBitmap Naive) RandomPair(Random random, long size, uint granularity)
    {
        var bitmap = new HierarchicalBitmap(size, granularity);
        var naive = new NaiveBitmap(size, granularity);
        for (int i = random.Next(30); i > 0; i--)
        {
            long offset = random.NextInt64(size);
            long length = random.NextInt64(1, random.Next(3) == 0 ? size : 5 * granularity);
            bitmap.Set(offset, length);
            naive.Set(offset, length);
        }

        return (bitmap, naive);
    }
}
