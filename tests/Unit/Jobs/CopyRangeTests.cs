using Monitor.Block;
using Monitor.Block.Drivers.File;
using Monitor.Block.Drivers.Filters;
using Monitor.Block.Drivers.Raw;
using Monitor.Jobs;
using Monitor.Qapi;
using NUnit.Framework;
using Unit.Drivers;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Jobs;

/// <summary>Copying between files within the kernel (<c>x-perf.use-copy-range</c> of backups).</summary>
public sealed class CopyRangeTests
{
    private const int Size = (5 << 20) + 512;
    private const int HoleFrom = 2 << 20;
    private const int HoleTo = 3 << 20;

    private readonly byte[] _content = new byte[Size];
    private JobRoom _room = null!;
    private TemporaryFile _sourceFile = null!;
    private TemporaryFile _targetFile = null!;

    [SetUp]
    public void SetUp()
    {
        _room = new JobRoom();
        _sourceFile = new TemporaryFile(Size);
        _targetFile = new TemporaryFile(Size);
        new Random(1).NextBytes(_content);
        _content.AsSpan(HoleFrom, HoleTo - HoleFrom).Clear();
        using FileStream file = File.OpenWrite(_sourceFile.Name);
        file.Write(_content, 0, HoleFrom);
        file.Position = HoleTo;
        file.Write(_content, HoleTo, Size - HoleTo);
    }

    [TearDown]
    public void TearDown()
    {
        _room.Dispose();
        _sourceFile.Dispose();
        _targetFile.Dispose();
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task A_backup_between_files_is_copied_by_the_kernel_if_so_asked(bool isAsked)
    {
        BlockNode source = await RawAsync(_sourceFile, "s");
        var count = new WriteCounter();
        BlockNode target = await RawAsync(_targetFile, "t", below: count);
        target.Bitmaps.Add("written", 65536, persistent: false);
        await BackUpAsync(source, target, isAsked);

        Assert.That(File.ReadAllBytes(_targetFile.Name).AsSpan().SequenceEqual(_content));
        Assert.That(count.BytesWritten, isAsked ? Is.Zero : Is.EqualTo(Size - (HoleTo - HoleFrom)));
        Assert.That(count.BytesCopied, isAsked ? Is.EqualTo(Size - (HoleTo - HoleFrom)) : Is.Zero);
        Assert.That(target.Bitmaps.List()[0].CountBytes, Is.EqualTo(Size + 65536 - 512), "dirty");
    }

    [Test]
    public async Task What_the_kernel_does_not_copy_is_read_and_written()
    {
        BlockNode source = await RawAsync(_sourceFile, "s");
        var count = new WriteCounter { RefusesAt = 1 << 20 };
        await BackUpAsync(source, await RawAsync(_targetFile, "t", below: count), usesCopyRange: true);

        Assert.That(File.ReadAllBytes(_targetFile.Name).AsSpan().SequenceEqual(_content));
        Assert.That(count.BytesCopied, Is.LessThanOrEqualTo(Size - (HoleTo - HoleFrom) - (1 << 20)));
        Assert.That(count.BytesWritten, Is.GreaterThanOrEqualTo(1 << 20));
    }

    [Test]
    public async Task Zeroes_that_are_to_be_detected_are_not_copied_by_the_kernel()
    {
        File.WriteAllBytes(_sourceFile.Name, new byte[Size]);
        BlockNode source = await RawAsync(_sourceFile, "s");
        BlockNode target = await RawAsync(_targetFile, "t", new BlockNodeSettings { NodeName = "t", DetectZeroes = DetectZeroesMode.On });
        Assert.That(await target.CopyFromAsync(0, source.FindFile(0, Size)!.Value), Is.False);
    }

    [Test]
    public async Task A_window_of_a_file_is_copied_from_its_place_and_nothing_behind_its_end()
    {
        BlockNode window = await RawAsync(_sourceFile, "s", offset: 4096, size: 1 << 20);
        BlockNode target = await RawAsync(_targetFile, "t");
        Assert.That(window.FindFile((1 << 20) - 10, 11), Is.Null);
        Assert.That(await target.CopyFromAsync(512, window.FindFile(1000, 100_000)!.Value));
        byte[] copied = new byte[100_000];
        await target.ReadAsync(512, copied);
        Assert.That(copied.AsSpan().SequenceEqual(_content.AsSpan(5096, copied.Length)));
    }

    [Test]
    public async Task A_source_that_ends_before_the_range_is_left_to_read_and_write()
    {
        BlockNode source = await RawAsync(_sourceFile, "s");
        BlockNode target = await RawAsync(_targetFile, "t");
        Assert.That(await target.CopyFromAsync(0, source.FindFile(Size - 100, 200)!.Value), Is.False);
    }

    private async Task BackUpAsync(BlockNode source, BlockNode target, bool usesCopyRange)
    {
        _room.Turn(() =>
        {
            _room.Add(source);
            _room.Add(target);
        });
        BackupJob job = await _room.BackupAsync(new BackupOptions
        {
            JobId = "b",
            Source = source,
            Target = target,
            Sync = MirrorSyncMode.Full,
            Perf = new BackupPerf { UseCopyRange = usesCopyRange },
        });
        await job.Gone;
        Assert.That(job.Error, Is.Null);
    }

    private async Task<BlockNode> RawAsync(
        TemporaryFile file, string name, BlockNodeSettings? settings = null, WriteCounter? below = null, long? offset = null, long? size = null)
    {
        BlockNode under = new FileNode(new BlockNodeSettings { NodeName = $"{name}-file" }, file.Name, locking: false);
        await under.OpenAsync();
        if (below is not null)
        {
            Attach(below, under, BlockChildRole.Primary | BlockChildRole.Filtered);
            await below.OpenAsync();
            under = below;
        }

        var raw = new RawNode(settings ?? new BlockNodeSettings { NodeName = name }, offset, size);
        Attach(raw, under, RawNode.ChildRole(offset ?? 0, size));
        await raw.OpenAsync();
        return raw;
    }

    private void Attach(BlockNode parent, BlockNode child, BlockChildRole role) =>
        _room.Turn(() => _room.Graph.AttachChild(parent, child, "file", role));

    /// <summary>Counts what comes down as data and what as a copy of a file; may refuse one such copy.</summary>
    private sealed class WriteCounter() : FilterNode(new BlockNodeSettings { NodeName = "counter" })
    {
        private long _bytesWritten;
        private long _bytesCopied;

        public override string DriverName => "counter";

        public long BytesWritten => _bytesWritten;

        public long BytesCopied => _bytesCopied;

        public long RefusesAt { get; init; } = -1;

        protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
        {
            Interlocked.Add(ref _bytesWritten, buffer.Length);
            return base.DoWriteAsync(offset, buffer, flags);
        }

        protected override ValueTask<bool> DoCopyFromAsync(long offset, FileRange source)
        {
            if (offset == RefusesAt)
            {
                return new(false);
            }

            Interlocked.Add(ref _bytesCopied, source.Length);
            return Below.CopyFromAsync(offset, source);
        }
    }
}
