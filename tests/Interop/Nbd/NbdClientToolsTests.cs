using Monitor.Block;
using Monitor.Block.Drivers.Nbd;
using Monitor.Qapi;
using NUnit.Framework;
using Testing;

namespace Interop.Nbd;

/// <summary>Our NBD client against other people's servers: what was written is read back through the client and found by the server's side.</summary>
public sealed class NbdClientToolsTests
{
    private const int SizeBytes = 4 << 20;

#if DEBUG
    /// <summary>The compiler makes objects of the state machines of a debug build.</summary>
    private const int MostBytesPerRequest = 600;
#else
    private const int MostBytesPerRequest = 0;
#endif

    private TemporaryDirectory _directory = null!;
    private string _image = null!;

    private string Socket => _directory.File("s");

    [SetUp]
    public void SetUp()
    {
        _directory = new TemporaryDirectory();
        _image = _directory.File("disk.raw");
        using FileStream image = File.Create(_image);
        image.SetLength(SizeBytes);
    }

    [TearDown]
    public void TearDown()
    {
        if (File.Exists(_directory.File("pid")))
        {
            Tool.Try("kill", File.ReadAllText(_directory.File("pid")).Trim());
        }

        _directory.Dispose();
    }

    [TestCase("", "")]
    [TestCase("--no-sr", "", Description = "simple replies")]
    [TestCase("--mask-handshake=0", "", Description = "a server that knows export names only")]
    [TestCase("--filter=blocksize-policy", "blocksize-minimum=4096 blocksize-preferred=65536 blocksize-maximum=131072 blocksize-error-policy=error")]
    [TestCase("--filter=delay", "delay-read=2ms delay-write=2ms")]
    [TestCase("--filter=nozero", "zeromode=none")]
    [TestCase("--filter=fua", "fuamode=emulate")]
    [TestCase("--filter=noextents", "")]
    public async Task Nbdkit_keeps_what_was_written(string option, string parameters)
    {
        Nbdkit(option, $"file {_image} {parameters}");
        await WriteAndCheckAsync();
    }

    [Test]
    public async Task Qemu_nbd_keeps_what_was_written_into_a_qcow2_image()
    {
        string qcow2 = _directory.File("disk.qcow2");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", qcow2, $"{SizeBytes}");
        Tool.Run("qemu-nbd", "-f", "qcow2", "-k", Socket, "-t", "--fork", $"--pid-file={_directory.File("pid")}", "--discard=unmap", qcow2);
        byte[] twin = await WriteAsync();
        Tool.Run("bash", "-c", $"kill $(cat {_directory.File("pid")}); while [ -e {Socket} ]; do sleep 0.05; done");
        Tool.Run("qemu-img", "convert", "-O", "raw", qcow2, _image);
        Assert.That(File.ReadAllBytes(_image).AsSpan().SequenceEqual(twin));
    }

    [Test]
    [NonParallelizable]
    public async Task A_request_allocates_nothing_of_its_own()
    {
        const int Requests = 2000;
        Nbdkit("", $"memory {SizeBytes}");
        using NbdNode node = await ConnectAsync();
        byte[] buffer = new byte[4096];
        await TransferAsync(node, buffer, Requests);

        long before = GC.GetTotalAllocatedBytes(precise: true);
        await TransferAsync(node, buffer, Requests);
        long allocated = GC.GetTotalAllocatedBytes(precise: true) - before;

        Assert.That(allocated / (2 * Requests), Is.LessThanOrEqualTo(MostBytesPerRequest), $"{allocated} bytes by {Requests} writes and reads");
    }

    [Test]
    public async Task Errors_of_the_server_come_back_as_they_are()
    {
        Nbdkit("--filter=error", $"file {_image} error-pwrite=ENOSPC error-pwrite-rate=100%");
        using NbdNode node = await ConnectAsync();
        Assert.That(
            async () => await node.WriteAsync(0, new byte[512]), Throws.TypeOf<BlockIoException>().With.Property("Errno").EqualTo(Errno.ENOSPC));
        await node.ReadAsync(0, new byte[512]);
    }

    [Test]
    public async Task A_server_that_is_killed_means_EIO()
    {
        Nbdkit("", $"file {_image}");
        using NbdNode node = await ConnectAsync();
        await node.WriteAsync(0, new byte[512]);
        Tool.Run("kill", "-9", File.ReadAllText(_directory.File("pid")).Trim());
        Assert.That(async () => await node.ReadAsync(0, new byte[512]), Throws.TypeOf<BlockIoException>().With.Property("Errno").EqualTo(Errno.EIO));
    }

    private void Nbdkit(string option, string arguments)
    {
        Tool.Run("bash", "-c", $"nbdkit -U {Socket} -P {_directory.File("pid")} {option} {arguments} >/dev/null 2>&1");
    }

    private async Task<NbdNode> ConnectAsync()
    {
        var node = new NbdNode(
            new BlockNodeSettings { NodeName = "n", DiscardUnmap = true },
            new BlockdevOptionsNbd { Server = new SocketAddress { Type = SocketAddressType.Unix, Branch = new UnixSocketAddress { Path = Socket } } });
        await node.OpenAsync();
        return node;
    }

    private async Task WriteAndCheckAsync()
    {
        byte[] twin = await WriteAsync();
        Assert.That(File.ReadAllBytes(_image).AsSpan().SequenceEqual(twin));
    }

    /// <summary>Writes, zeroes and reads at random, many at once; gives what the disk must hold.</summary>
    private async Task<byte[]> WriteAsync()
    {
        byte[] twin = new byte[SizeBytes];
        var random = new Random(1);
        using NbdNode node = await ConnectAsync();
        Assert.That(node.SizeBytes, Is.EqualTo(SizeBytes));
        for (int round = 0; round < 8; round++)
        {
            int[] cuts = [.. Enumerable.Range(0, 13).Select(_ => random.Next(SizeBytes)).Order()];
            await Task.WhenAll(Enumerable.Range(0, 12).Select(i => ChangeAsync(node, twin.AsMemory(cuts[i]..cuts[i + 1]), cuts[i], random.Next(4), random)));
            byte[] read = new byte[SizeBytes];
            await node.ReadAsync(0, read);
            Assert.That(read.AsSpan().SequenceEqual(twin), $"round {round}");
        }

        for (long at = 0; at < SizeBytes;)
        {
            BlockMapping run = await node.MapAsync(at, SizeBytes - at);
            Assert.That(run.Kind == BlockMappingKind.Data || twin.AsSpan((int)at, (int)run.Length).IndexOfAnyExcept((byte)0) < 0, $"at {at}");
            at += run.Length;
        }

        await node.FlushAsync();
        return twin;
    }

    private static async Task TransferAsync(NbdNode node, byte[] buffer, int count)
    {
        for (int i = 0; i < count; i++)
        {
            int offset = i * buffer.Length % SizeBytes;
            await node.WriteAsync(offset, buffer).ConfigureAwait(false);
            await node.ReadAsync(offset, buffer).ConfigureAwait(false);
        }
    }

    private static async Task ChangeAsync(NbdNode node, Memory<byte> range, int offset, int kind, Random random)
    {
        if (kind == 0)
        {
            range.Span.Clear();
            await node.WriteZeroesAsync(offset, range.Length, BlockWriteFlags.MayUnmap);
            return;
        }

        random.NextBytes(range.Span);
        await node.WriteAsync(offset, range, kind == 1 ? BlockWriteFlags.Fua : BlockWriteFlags.None);
    }
}
