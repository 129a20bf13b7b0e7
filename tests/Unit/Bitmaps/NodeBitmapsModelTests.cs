using Monitor.Block.Bitmaps;
using NUnit.Framework;

namespace Unit.Bitmaps;

/// <summary>10,000 random operations on a node's bitmaps against one array per bitmap that every write marks.</summary>
public sealed class NodeBitmapsModelTests
{
    private const int Operations = 10_000;

    [Test]
    public void Every_bitmap_holds_what_per_bitmap_marking_would_hold([Values(1, 2, 3, 4, 5)] int seed)
    {
        var run = new Run(seed);
        for (int step = 0; step < Operations; step++)
            run.Step(step);
        run.CompareAll();
    }

    private sealed class Run(int seed)
    {
        private readonly Random _random = new(seed);
        private readonly NodeBitmaps _node = new(8 << 20);
        private readonly List<(DirtyBitmap Real, NaiveBitmap Naive)> _pairs = [];
        private long _size = 8 << 20;
        private int _step;
        private int _names;

        internal void Step(int step)
        {
            _step = step;
            int kind = _random.Next(100);
            if (kind < 55)
                Write();
            else if (kind < 60 || _pairs.Count == 0)
                Add();
            else if (kind == 60)
                Resize();
            else
                Change(kind, _random.Next(_pairs.Count));
        }

        internal void CompareAll() => _pairs.ForEach(Compare);

        private void Write()
        {
            long offset = _random.NextInt64(_size);
            long length = _random.NextInt64(1, _random.Next(10) == 0 ? _size : 20_000);
            _node.MarkWritten(offset, length);
            foreach ((_, NaiveBitmap naive) in _pairs)
            {
                naive.Written(offset, length);
                naive.Successor?.Written(offset, length);
            }
        }

        private void Add()
        {
            if (_pairs.Count == 8)
                return;
            uint granularity = 1u << (_random.Next(3) == 0 ? _random.Next(9, 32) : _random.Next(9, 17));
            bool disabled = _random.Next(3) == 0;
            DirtyBitmap real = _random.Next(5) == 0
                ? _node.AddAnonymous(granularity, disabled: disabled)
                : _node.Add($"b{_names++}", granularity, disabled: disabled);
            _pairs.Add((real, new NaiveBitmap(_size, granularity) { Enabled = !disabled }));
        }

        private void Resize()
        {
            _size = _random.NextInt64(1, 16 << 20);
            _node.Resize(_size);
            foreach ((_, NaiveBitmap naive) in _pairs)
            {
                naive.Resize(_size);
                naive.Successor?.Resize(_size);
            }
        }

        private void Change(int kind, int index)
        {
            (DirtyBitmap real, NaiveBitmap naive) = _pairs[index];
            if (naive.Successor is not null)
                EndSuccessor(real, naive);
            else if (kind < 64)
                Remove(index);
            else if (kind < 70)
                Clear(real, naive);
            else if (kind < 78)
                Switch(real, naive);
            else if (kind < 85)
                Merge(real, naive);
            else if (kind < 90)
                Freeze(real, naive);
            else if (kind < 95)
                TakeArea(real, naive);
            else
                Compare((real, naive));
        }

        private void Remove(int index)
        {
            _node.PrepareRemove(_pairs[index].Real);
            if (_random.Next(3) == 0)
            {
                _node.AbortRemove(_pairs[index].Real);
                return;
            }

            _node.Release(_pairs[index].Real);
            _pairs.RemoveAt(index);
        }

        private void Clear(DirtyBitmap real, NaiveBitmap naive)
        {
            HierarchicalBitmap backup = _node.Clear(real);
            if (_random.Next(3) == 0)
                _node.RestoreClear(real, backup);
            else
                naive.Clear();
        }

        private void Switch(DirtyBitmap real, NaiveBitmap naive)
        {
            bool enable = _random.Next(2) == 0;
            bool before = enable ? _node.Enable(real) : _node.Disable(real);
            Assert.That(before, Is.EqualTo(naive.Enabled), $"seed {seed} step {_step}");
            naive.Enabled = enable;
        }

        private void Merge(DirtyBitmap real, NaiveBitmap naive)
        {
            var sources = _pairs.Where(pair => pair.Naive.Successor is null && _random.Next(2) == 0).ToList();
            HierarchicalBitmap backup = _node.Merge(real, sources.Select(pair => pair.Real));
            if (_random.Next(3) == 0)
                _node.Restore(real, backup);
            else
                Gathered(naive, sources.Select(pair => pair.Naive));
        }

        private void Gathered(NaiveBitmap naive, IEnumerable<NaiveBitmap> sources)
        {
            var gathered = new NaiveBitmap(_size, naive.Granularity);
            foreach (NaiveBitmap source in sources)
                gathered.Merge(source);
            naive.Merge(gathered);
        }

        private void Freeze(DirtyBitmap real, NaiveBitmap naive)
        {
            _node.CreateSuccessor(real);
            naive.Successor = new NaiveBitmap(_size, naive.Granularity) { Enabled = naive.Enabled };
            naive.Enabled = false;
        }

        private void EndSuccessor(DirtyBitmap real, NaiveBitmap naive)
        {
            NaiveBitmap successor = naive.Successor!;
            if (_random.Next(2) == 0)
            {
                _node.Abdicate(real);
                naive.Clear();
            }
            else
            {
                _node.Reclaim(real);
            }

            naive.Merge(successor);
            naive.Enabled = successor.Enabled;
            naive.Successor = null;
            Compare((real, naive));
        }

        private void TakeArea(DirtyBitmap real, NaiveBitmap naive)
        {
            long granularity = naive.Granularity;
            long start = _random.NextInt64(_size) / granularity * granularity;
            long max = _random.NextInt64(1, 40) * granularity;
            bool found = _node.TakeDirtyArea(real, start, long.MaxValue, max, out long offset, out long length);
            (long, long)? expected = naive.NextDirtyArea(start, long.MaxValue, max);
            Assert.That(found ? (offset, length) : ((long, long)?)null, Is.EqualTo(expected), $"seed {seed} step {_step}");
            if (found)
                naive.Reset(offset, length);
            Assert.That(_node.CountDirtyBytes(real), Is.EqualTo(naive.DirtyBytes), $"seed {seed} step {_step}");
        }

        private void Compare((DirtyBitmap Real, NaiveBitmap Naive) pair)
        {
            HierarchicalBitmap content = _node.CopyContent(pair.Real);
            bool[] bits = new bool[pair.Naive.Bits.Length];
            for (int granule = 0; granule < bits.Length; granule++)
                bits[granule] = content.IsDirty((long)granule * pair.Naive.Granularity);
            bool equal = bits.AsSpan().SequenceEqual(pair.Naive.Bits);
            Assert.That(equal, Is.True, $"seed {seed} step {_step}: '{pair.Real.Name}' at {pair.Naive.Granularity}");
        }
    }
}
