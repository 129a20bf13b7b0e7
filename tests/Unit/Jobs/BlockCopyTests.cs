using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Copy;
using NUnit.Framework;
using Unit.Drivers;
using BlockPermission = Monitor.Block.BlockPermission;
using MemoryNode = Unit.Storage.MemoryNode;

namespace Unit.Jobs;

/// <summary>Who may copy what, when a worker and a guest's write come to the same place.</summary>
public sealed class BlockCopyTests
{
    private const int Granule = 512;
    private const int Size = 8 * Granule;
    private MemoryNode _source = null!;
    private MemoryNode _target = null!;
    private TestGraph _graph = null!;
    private DirtyBitmap _dirty = null!;
    private BlockCopy _copy = null!;

    [SetUp]
    public void MakeCopy()
    {
        _graph = new TestGraph();
        _source = new MemoryNode("source", Size);
        _target = new MemoryNode("target", Size);
        _dirty = _source.Bitmaps.AddAnonymous(Granule, dirty: true, disabled: true);
        BlockChild source = _graph.AttachRoot(_source, BlockPermission.ConsistentRead, BlockPermission.All).Root!;
        BlockChild target = _graph.AttachRoot(_target, BlockPermission.Write, BlockPermission.All).Root!;
        _copy = new BlockCopy(source, target, _dirty);
    }

    [TearDown]
    public void TearDown() => _graph.Dispose();

    [Test]
    public async Task What_a_guest_had_copied_and_changed_between_a_workers_look_and_its_claim_is_not_copied_again()
    {
        await GuestWritesAsync(3 * Granule);

        Assert.That(_copy.TryTakeArea(0, Size, out _, out _), Is.Null);
        while (_copy.TryTake(out RangeClaim? claim, out _))
        {
            await _copy.CopyAsync(claim);
        }

        byte[] kept = new byte[Size];
        await _target.ReadAsync(0, kept);
        Assert.That(kept, Is.All.Zero);
        Assert.That(_copy.CountDirtyBytes(), Is.Zero);
    }

    [TestCase(0)]
    [TestCase(7)]
    public async Task An_area_of_which_a_guest_had_an_end_copied_is_not_taken_and_the_rest_stays_dirty(int granule)
    {
        await GuestWritesAsync(granule * Granule);

        Assert.That(_copy.TryTakeArea(0, Size, out _, out Task? busy), Is.Null);
        Assert.That(busy, Is.Null);
        Assert.That(_copy.CountDirtyBytes(), Is.EqualTo(Size - Granule));
        Assert.That(_copy.InFlight.Overlaps(0, Size), Is.False);
    }

    [Test]
    public async Task A_worker_that_finds_all_that_is_dirty_claimed_is_told_for_whom_to_wait()
    {
        Assert.That(_copy.TryTake(out RangeClaim? all, out _), Is.True);
        await _copy.CopyAsync(all!);
        RangeClaim claim = await _copy.ClaimAsync(4 * Granule, Granule);
        _source.Bitmaps.SetDirty(_dirty, 4 * Granule, Granule);
        _source.Bitmaps.SetDirty(_dirty, 0, Granule);
        Assert.That(_copy.TryTake(out RangeClaim? first, out _), Is.True);

        Assert.That(_copy.TryTake(out _, out Task? busy), Is.False);
        Assert.That(busy, Is.Not.Null);
        _copy.InFlight.Release(claim);
        await busy!;
        await _copy.CopyAsync(first!);
    }

    private async Task GuestWritesAsync(long offset)
    {
        await _copy.CopyBeforeWriteAsync(offset, Granule);
        byte[] changed = new byte[Granule];
        changed.AsSpan().Fill(0xff);
        await _source.WriteAsync(offset, changed);
    }
}
