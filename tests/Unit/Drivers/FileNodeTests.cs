using System.IO.Pipes;
using Monitor.Block;
using Monitor.Block.Drivers.File;
using Monitor.Block.Io;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Drivers;

public sealed class FileNodeTests : DriverContract
{
    private TemporaryFile _file = null!;

    [SetUp]
    public void MakeFile() => _file = new TemporaryFile(SizeBytes);

    [TearDown]
    public void RemoveFile() => _file.Dispose();

    [Test]
    public async Task Who_shows_the_file_has_its_size_whoever_made_it_longer()
    {
        using var graph = new TestGraph();
        BlockNode file = await OpenAsync();
        var filters = new FaultNode[] { new("lower"), new("upper") };
        graph.Attach(filters[0], file, "file", BlockChildRole.Filtered | BlockChildRole.Primary);
        graph.Attach(filters[1], filters[0], "file", BlockChildRole.Filtered | BlockChildRole.Primary);
        await file.WriteAsync(file.SizeBytes + 1000, new byte[] { 1 });
        Assert.That(filters.Select(filter => filter.SizeBytes), Is.All.EqualTo(file.SizeBytes));
        await Task.WhenAll(Enumerable.Range(1, 64).Select(i => Task.Run(() => file.WriteAsync(file.SizeBytes + i, new byte[] { 1 }).AsTask())));
        Assert.That(filters.Select(filter => filter.SizeBytes), Is.All.EqualTo(file.SizeBytes));
    }

    [Test]
    public async Task A_write_past_the_end_makes_the_node_longer()
    {
        BlockNode node = await OpenAsync();

        await node.WriteAsync(SizeBytes + 1000, new byte[] { 1 });

        Assert.That(node.SizeBytes, Is.EqualTo(SizeBytes + 1001));
        await node.CloseAsync();
        Assert.That(new FileInfo(_file.Name).Length, Is.EqualTo(SizeBytes + 1001));
    }

    [TestCase(BlockWriteFlags.None)]
    [TestCase(BlockWriteFlags.MayUnmap)]
    public async Task Zeroes_past_the_end_make_the_node_longer_and_clear_what_was_there(BlockWriteFlags flags)
    {
        BlockNode node = await OpenAsync();
        await node.WriteAsync(SizeBytes - 10, Filled(10, 0xff));

        await node.WriteZeroesAsync(SizeBytes - 5, 5000, flags);

        byte[] tail = Filled(5005, 0xee);
        await node.ReadAsync(SizeBytes - 10, tail);
        Assert.Multiple(() =>
        {
            Assert.That(node.SizeBytes, Is.EqualTo(SizeBytes + 4995));
            Assert.That(tail[..5], Is.All.EqualTo(0xff));
            Assert.That(tail[5..], Is.All.Zero);
            Assert.That(new FileInfo(_file.Name).Length, Is.EqualTo(SizeBytes + 4995));
        });
        await node.CloseAsync();
    }

    [Test]
    public async Task A_read_past_the_end_gives_zeroes()
    {
        BlockNode node = await OpenAsync();
        await node.WriteAsync(SizeBytes - 1, new byte[] { 7 });
        byte[] buffer = Filled(10_000, 0xee);

        await node.ReadAsync(SizeBytes - 1, buffer);

        Assert.Multiple(() =>
        {
            Assert.That(buffer[0], Is.EqualTo(7));
            Assert.That(buffer[1..], Is.All.Zero);
        });
        await node.CloseAsync();
    }

    [Test]
    public async Task A_hole_maps_as_zero_and_discard_makes_one()
    {
        BlockNode node = await OpenAsync();
        await node.WriteAsync(0, Filled(SizeBytes, 1));
        Assert.That((await node.MapAsync(0, SizeBytes)).Kind, Is.EqualTo(BlockMappingKind.Data));

        await node.DiscardAsync(262_144, 262_144);

        Assert.Multiple(async () =>
        {
            Assert.That(await node.MapAsync(0, SizeBytes), Has.Property("Length").EqualTo(262_144));
            Assert.That(await node.MapAsync(262_144, 300_000), Is.EqualTo(new BlockMapping(BlockMappingKind.Zero, 262_144)));
        });
        await node.CloseAsync();
    }

    [Test]
    public async Task Discard_that_is_ignored_changes_nothing()
    {
        var node = new FileNode(new BlockNodeSettings { NodeName = "n" }, _file.Name);
        await node.OpenAsync();
        await node.WriteAsync(0, Filled(65_536, 1));

        await node.DiscardAsync(0, 65_536);

        byte[] content = new byte[65_536];
        await node.ReadAsync(0, content);
        Assert.That(content, Is.All.EqualTo(1));
        await node.CloseAsync();
    }

    [Test]
    public async Task Truncate_changes_file_and_size()
    {
        BlockNode node = await OpenAsync();

        await node.TruncateAsync(4096);

        Assert.Multiple(() =>
        {
            Assert.That(node.SizeBytes, Is.EqualTo(4096));
            Assert.That(new FileInfo(_file.Name).Length, Is.EqualTo(4096));
        });
        await node.CloseAsync();
    }

    [Test]
    public async Task Warm_transfers_allocate_nothing()
    {
        BlockNode node = await OpenAsync();
        byte[] buffer = new byte[4096];
        Assert.That(TransfersCompleteAtOnce(node, buffer, 100));

        long before = GC.GetAllocatedBytesForCurrentThread();
        bool completed = TransfersCompleteAtOnce(node, buffer, 100);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.That(completed);
        Assert.That(allocated, Is.Zero);
        await node.CloseAsync();
    }

    [Test]
    public async Task A_failed_flush_is_remembered_even_when_a_later_one_could_succeed()
    {
        BlockNode node = await OpenAsync();
        await node.WriteAsync(0, new byte[512]);
        int[] descriptors = DescriptorsOf(_file.Name);
        using var pipe = new AnonymousPipeServerStream(PipeDirection.Out);
        PosixFile again = PosixFile.Open(_file.Name, FileOpenMode.Write);

        Redirect(descriptors, (int)pipe.SafePipeHandle.DangerousGetHandle());
        Assert.That(async () => await node.FlushAsync(), Throws.TypeOf<BlockIoException>(), "a pipe cannot be synced");

        Redirect(descriptors, again.Descriptor);
        again.Close();
        await node.WriteAsync(0, new byte[512]);
        Assert.That(async () => await node.FlushAsync(), Throws.TypeOf<BlockIoException>());
        await node.CloseAsync();
    }

    [Test]
    public async Task With_no_flush_a_flush_asks_nothing_of_the_medium()
    {
        var node = new FileNode(Settings() with { CacheNoFlush = true }, _file.Name);
        await node.OpenAsync();
        await node.WriteAsync(0, new byte[512]);

        Assert.That(node.FlushAsync().AsTask().IsCompletedSuccessfully);
        await node.CloseAsync();
    }

    [Test]
    public void A_file_that_is_not_there_is_refused() =>
        Assert.That(
            () => new FileNode(Settings(), "/nonexistent/x").OpenAsync(),
            Throws.TypeOf<QmpException>().With.Message.EqualTo("Could not open '/nonexistent/x': No such file or directory"));

    [Test]
    public void A_directory_is_refused() =>
        Assert.That(
            () => new FileNode(Settings(), "/tmp").OpenAsync(),
            Throws.TypeOf<QmpException>().With.Message.EqualTo("Could not open '/tmp': Is a directory"));

    [Test]
    public void A_device_is_refused() =>
        Assert.That(
            () => new FileNode(Settings(), "/dev/null").OpenAsync(),
            Throws.TypeOf<QmpException>().With.Message.EqualTo("'file' driver requires '/dev/null' to be a regular file"));

    protected override async ValueTask<BlockNode> OpenAsync(BlockNodeSettings settings)
    {
        var node = new FileNode(settings, _file.Name);
        await node.OpenAsync();
        return node;
    }

    private static int[] DescriptorsOf(string path) =>
    [
        .. Directory.GetFiles("/proc/self/fd")
            .Where(link => new FileInfo(link).LinkTarget == path)
            .Select(link => int.Parse(Path.GetFileName(link))),
    ];

    private static void Redirect(int[] descriptors, int to)
    {
        foreach (int descriptor in descriptors)
        {
            Assert.That(Libc.Dup3(to, descriptor, Libc.O_CLOEXEC), Is.EqualTo(descriptor));
        }
    }

    private static bool TransfersCompleteAtOnce(BlockNode node, byte[] buffer, int count)
    {
        bool completed = true;
        for (int i = 0; i < count; i++)
        {
            completed &= IsCompleted(node.WriteAsync(i * 4096, buffer)) && IsCompleted(node.ReadAsync(i * 4096, buffer));
        }

        return completed;
    }

    private static bool IsCompleted(ValueTask request) => request.IsCompletedSuccessfully;
}
