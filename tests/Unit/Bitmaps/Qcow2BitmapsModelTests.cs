using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Drivers.Qcow2;
using NUnit.Framework;

namespace Unit.Bitmaps;

/// <summary>
/// Random lives of an image's bitmaps against naive twins: written from several threads, changed, changes undone, frozen, resized, stored,
/// stored in vain, loaded again, made read-only, handed over.
/// </summary>
public sealed class Qcow2BitmapsModelTests
{
    private const int Steps = 600;

    [Test]
    public async Task Whatever_happens_to_an_image_its_bitmaps_hold_every_write_and_nothing_else([Values(1, 2, 3, 4, 5, 6)] int seed)
    {
        var life = new Life(seed);
        await life.BeginAsync();
        for (int step = 0; step < Steps; step++)
            await life.StepAsync(step);
        await life.ReopenAsync();
    }

    private sealed class Life(int seed)
    {
        private readonly Random _random = new(seed);
        private readonly Dictionary<string, NaiveBitmap> _twins = [];
        private readonly HashSet<string> _persistent = [];
        private MemoryBitmapHost _host = new(seed % 2 == 0 ? 512 : 4096) { VirtualSizeBytes = 4 << 20 };
        private NodeBitmaps _node = null!;
        private Qcow2Bitmaps _store = null!;
        private int _step;
        private int _names;

        internal async Task BeginAsync()
        {
            _node = new NodeBitmaps(_host.VirtualSizeBytes, "q");
            _store = new Qcow2Bitmaps(_host, _node);
            _node.Store = _store;
            await _store.LoadAsync();
        }

        internal async Task StepAsync(int step)
        {
            _step = step;
            int kind = _random.Next(100);
            if (kind < 45)
                Write();
            else if (kind < 55 || _twins.Count == 0)
                Add();
            else if (kind < 92)
                await ChangeAsync(kind, _twins.Keys.ElementAt(_random.Next(_twins.Count)));
            else
                await HandleImageAsync(kind);
        }

        internal async Task ReopenAsync()
        {
            await _store.StoreAsync();
            _host = _host.Reopened();
            await BeginAsync();
            foreach (string name in _twins.Keys.Except(_persistent).ToList())
                _twins.Remove(name);
            CompareAll();
        }

        private async Task HandleImageAsync(int kind)
        {
            switch (kind)
            {
                case 92:
                    Resize();
                    break;
                case < 95:
                    await ReopenAsync();
                    break;
                case 95:
                    await _store.ReopenReadOnlyAsync();
                    _host.IsReadOnly = true;
                    Assert.That(_persistent.All(name => _node.Find(name).IsReadOnly), Is.True, When);
                    CompareAll();
                    _host.IsReadOnly = false;
                    await _store.ReopenWritableAsync();
                    break;
                case 96:
                    await _store.ReopenReadOnlyAsync();
                    _store.Forget();
                    await _store.LoadAsync();
                    break;
                case < 99:
                    await StoreInVainAsync();
                    break;
            }

            CompareAll();
        }

        private async Task StoreInVainAsync()
        {
            _host.StepsLeft = _random.Next(8);
            try
            {
                await _store.StoreAsync();
            }
            catch (BlockIoException)
            {
                CompareAll();
            }

            _host.StepsLeft = -1;
        }

        private async Task ChangeAsync(int kind, string name)
        {
            DirtyBitmap real = _node.Find(name);
            NaiveBitmap twin = _twins[name];
            bool undone = _random.Next(3) == 0;
            switch (kind)
            {
                case < 59:
                    await RemoveAsync(real, undone);
                    break;
                case < 64:
                    HierarchicalBitmap cleared = _node.Clear(real);
                    if (undone)
                        _node.RestoreClear(real, cleared);
                    else
                        twin.Clear();
                    break;
                case < 68:
                    HierarchicalBitmap filled = _node.Fill(real);
                    if (undone)
                        _node.Restore(real, filled);
                    else
                        twin.Set(0, twin.Size);
                    break;
                case < 78:
                    Merge(real, twin, undone);
                    break;
                case < 85:
                    twin.Enabled = !twin.Enabled;
                    _ = twin.Enabled ? _node.Enable(real) : _node.Disable(real);
                    break;
                default:
                    await FreezeAsync(real, twin, abdicates: !undone);
                    break;
            }
        }

        private string When => $"seed {seed} step {_step}";

        /// <summary>Some writes from one thread or several.</summary>
        private void Write()
        {
            long size = _host.VirtualSizeBytes;
            var ranges = Enumerable.Range(0, _random.Next(1, 12))
                .Select(_ => (Offset: _random.NextInt64(size), Length: _random.NextInt64(1, _random.Next(8) == 0 ? size : 30_000))).ToList();
            if (_random.Next(2) == 0)
                ranges.ForEach(range => _node.MarkWritten(range.Offset, range.Length));
            else
                Parallel.ForEach(ranges, range => _node.MarkWritten(range.Offset, range.Length));
            foreach (NaiveBitmap twin in _twins.Values)
                ranges.ForEach(range => twin.Written(range.Offset, range.Length));
        }

        private void Add()
        {
            if (_twins.Count == 8)
                return;
            string name = $"b{_names++}";
            uint granularity = 1u << (_random.Next(3) == 0 ? _random.Next(9, 32) : _random.Next(9, 17));
            bool disabled = _random.Next(3) == 0;
            bool persistent = _random.Next(4) != 0;
            _node.Add(name, granularity, persistent, disabled);
            _twins.Add(name, new NaiveBitmap(_host.VirtualSizeBytes, granularity) { Enabled = !disabled });
            if (persistent)
                _persistent.Add(name);
        }

        private async Task RemoveAsync(DirtyBitmap real, bool undone)
        {
            _node.PrepareRemove(real);
            if (undone)
            {
                _node.AbortRemove(real);
                return;
            }

            _node.Release(real);
            _twins.Remove(real.Name!);
            if (_persistent.Remove(real.Name!))
                await _store.RemoveGoneAsync();
        }

        private void Merge(DirtyBitmap real, NaiveBitmap twin, bool undone)
        {
            var names = _twins.Keys.Where(_ => _random.Next(2) == 0).ToList();
            HierarchicalBitmap before = _node.Merge(real, names.Select(_node.Find));
            if (undone)
            {
                _node.Restore(real, before);
                return;
            }

            var gathered = new NaiveBitmap(twin.Size, twin.Granularity);
            names.ForEach(name => gathered.Merge(_twins[name]));
            twin.Merge(gathered);
        }

        /// <summary>A backup: writes meanwhile, perhaps a store; at its end the successor takes over or is taken back.</summary>
        private async Task FreezeAsync(DirtyBitmap real, NaiveBitmap twin, bool abdicates)
        {
            _node.CreateSuccessor(real);
            if (abdicates)
                twin.Clear();
            Write();
            if (_random.Next(3) == 0)
                await _store.StoreAsync();
            Write();
            if (abdicates)
                _node.Abdicate(real);
            else
                _node.Reclaim(real);
        }

        private void Resize()
        {
            long size = _random.NextInt64(1, 8 << 20);
            _host.VirtualSizeBytes = size;
            _node.Resize(size);
            foreach (NaiveBitmap twin in _twins.Values)
                twin.Resize(size);
        }

        private void CompareAll()
        {
            Assert.That(_node.Named().Select(bitmap => bitmap.Name), Is.EquivalentTo(_twins.Keys), When);
            foreach ((string name, NaiveBitmap twin) in _twins)
            {
                DirtyBitmap real = _node.Find(name);
                HierarchicalBitmap content = _node.CopyContent(real);
                bool[] bits = new bool[twin.Bits.Length];
                for (int granule = 0; granule < bits.Length; granule++)
                    bits[granule] = content.IsDirty((long)granule * twin.Granularity);
                Assert.That(bits.AsSpan().SequenceEqual(twin.Bits), Is.True, $"{When}: '{name}'");
                Assert.That((real.IsEnabled, real.IsInconsistent), Is.EqualTo((twin.Enabled, false)), $"{When}: '{name}'");
            }
        }
    }
}
