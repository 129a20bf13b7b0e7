using Monitor.Nbd;
using NUnit.Framework;

namespace Unit.Nbd;

/// <summary>What lies on the wire reads back as it was written, and has the bytes the specification says.</summary>
public sealed class NbdWireTests
{
    [Test]
    public void Greeting_reads_back()
    {
        byte[] bytes = new byte[NbdGreeting.Size];
        new NbdGreeting(NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes).Write(bytes);
        Assert.That(bytes, Is.EqualTo("NBDMAGICIHAVEOPT\0\u0003"u8.ToArray()));
        Assert.That(NbdGreeting.TryRead(bytes, out NbdGreeting greeting), Is.True);
        Assert.That(greeting.Flags, Is.EqualTo(NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes));
        bytes[3] ^= 1;
        Assert.That(NbdGreeting.TryRead(bytes, out _), Is.False);
    }

    [Test]
    public void Option_header_reads_back()
    {
        byte[] bytes = new byte[NbdOptionHeader.Size];
        var header = new NbdOptionHeader(NbdOption.SetMetaContext, 0x01020304);
        header.Write(bytes);
        Assert.That(Convert.ToHexString(bytes), Is.EqualTo("49484156454F50540000000A01020304"));
        Assert.That(NbdOptionHeader.TryRead(bytes, out NbdOptionHeader read), Is.True);
        Assert.That(read, Is.EqualTo(header));
        bytes[0] = 0;
        Assert.That(NbdOptionHeader.TryRead(bytes, out _), Is.False);
    }

    [Test]
    public void Option_reply_header_reads_back()
    {
        byte[] bytes = new byte[NbdOptionReplyHeader.Size];
        var header = new NbdOptionReplyHeader(NbdOption.Go, NbdOptionReply.ErrorUnknown, 7);
        header.Write(bytes);
        Assert.That(Convert.ToHexString(bytes), Is.EqualTo("0003E889045565A9000000078000000600000007"));
        Assert.That(NbdOptionReplyHeader.TryRead(bytes, out NbdOptionReplyHeader read), Is.True);
        Assert.That(read, Is.EqualTo(header));
        bytes[7] = 0;
        Assert.That(NbdOptionReplyHeader.TryRead(bytes, out _), Is.False);
    }

    [Test]
    public void Export_info_and_block_sizes_read_back()
    {
        byte[] bytes = new byte[12];
        var info = new NbdExportInfo(0x1122334455667788, NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFastZero);
        info.Write(bytes);
        Assert.That(Convert.ToHexString(bytes, 0, NbdExportInfo.Size), Is.EqualTo("11223344556677880801"));
        Assert.That(NbdExportInfo.Read(bytes), Is.EqualTo(info));
        var sizes = new NbdBlockSizes(1, 4096, NbdProtocol.MaxPayloadBytes);
        sizes.Write(bytes);
        Assert.That(Convert.ToHexString(bytes), Is.EqualTo("000000010000100002000000"));
        Assert.That(NbdBlockSizes.Read(bytes), Is.EqualTo(sizes));
    }

    [Test]
    public void Request_header_reads_back()
    {
        byte[] bytes = new byte[NbdRequestHeader.Size];
        var header = new NbdRequestHeader(NbdCommandFlags.Fua | NbdCommandFlags.FastZero, NbdCommand.WriteZeroes, ulong.MaxValue - 1, 1UL << 63, uint.MaxValue);
        header.Write(bytes);
        Assert.That(Convert.ToHexString(bytes), Is.EqualTo("2560951300110006FFFFFFFFFFFFFFFE8000000000000000FFFFFFFF"));
        Assert.That(NbdRequestHeader.TryRead(bytes, out NbdRequestHeader read), Is.True);
        Assert.That(read, Is.EqualTo(header));
        bytes[1] = 0;
        Assert.That(NbdRequestHeader.TryRead(bytes, out _), Is.False);
    }

    [Test]
    public void Simple_reply_reads_back()
    {
        byte[] bytes = new byte[NbdSimpleReply.Size];
        var reply = new NbdSimpleReply(NbdError.NoSpace, 0x0102030405060708);
        reply.Write(bytes);
        Assert.That(Convert.ToHexString(bytes), Is.EqualTo("674466980000001C0102030405060708"));
        Assert.That(NbdSimpleReply.TryRead(bytes, out NbdSimpleReply read), Is.True);
        Assert.That(read, Is.EqualTo(reply));
        bytes[0] = 0;
        Assert.That(NbdSimpleReply.TryRead(bytes, out _), Is.False);
    }

    [Test]
    public void Chunks_read_back()
    {
        byte[] bytes = new byte[64];
        var data = new NbdDataChunk(NbdChunkFlags.Done, 5, 1UL << 40, 4096);
        data.Write(bytes);
        Assert.That(NbdChunkHeader.TryRead(bytes, out NbdChunkHeader header), Is.True);
        Assert.That(header, Is.EqualTo(new NbdChunkHeader(NbdChunkFlags.Done, NbdChunkType.OffsetData, 5, 4104)));
        Assert.That(NbdDataChunk.Read(header, bytes.AsSpan(NbdChunkHeader.Size)), Is.EqualTo(data));

        var hole = new NbdHoleChunk(NbdChunkFlags.None, 6, 512, 65536);
        hole.Write(bytes);
        Assert.That(NbdChunkHeader.TryRead(bytes, out header), Is.True);
        Assert.That(NbdHoleChunk.Read(header, bytes.AsSpan(NbdChunkHeader.Size)), Is.EqualTo(hole));

        var error = new NbdErrorChunk(7, NbdError.Invalid, "nein, größer");
        error.Write(bytes);
        Assert.That(NbdChunkHeader.TryRead(bytes, out header), Is.True);
        Assert.That(NbdErrorChunk.TryRead(header, bytes.AsSpan(NbdChunkHeader.Size, (int)header.Length), out NbdErrorChunk read), Is.True);
        Assert.That(read, Is.EqualTo(error));
        Assert.That(NbdErrorChunk.TryRead(header, bytes.AsSpan(NbdChunkHeader.Size, (int)header.Length - 1), out _), Is.False);
        Assert.That(NbdErrorChunk.TryRead(header, bytes.AsSpan(0, 5), out _), Is.False);
        bytes[0] = 0;
        Assert.That(NbdChunkHeader.TryRead(bytes, out _), Is.False);
    }

    [Test]
    public void Extent_reads_back()
    {
        byte[] bytes = new byte[NbdExtent.Size];
        new NbdExtent(65536, 3).Write(bytes);
        Assert.That(Convert.ToHexString(bytes), Is.EqualTo("0001000000000003"));
        Assert.That(NbdExtent.Read(bytes), Is.EqualTo(new NbdExtent(65536, 3)));
    }

    [Test]
    public void Export_query_reads_back_and_refuses_every_other_length()
    {
        var query = new NbdExportQuery("näme", [NbdInfo.Name, NbdInfo.BlockSize]);
        byte[] bytes = new byte[query.Size + 1];
        query.Write(bytes);
        Assert.That(NbdExportQuery.TryRead(bytes.AsSpan(0, query.Size), out NbdExportQuery read), Is.True);
        Assert.That(read.Name, Is.EqualTo(query.Name));
        Assert.That(read.Infos, Is.EqualTo(query.Infos));
        for (int length = 0; length <= bytes.Length; length++)
        {
            Assert.That(NbdExportQuery.TryRead(bytes.AsSpan(0, length), out _), Is.EqualTo(length == query.Size), $"length {length}");
        }
    }

    [Test]
    public void Meta_context_query_reads_back_and_refuses_every_other_length()
    {
        var query = new NbdMetaContextQuery("e", ["base:", "", "qemu:dirty-bitmap:b0"]);
        byte[] bytes = new byte[query.Size + 1];
        query.Write(bytes);
        Assert.That(NbdMetaContextQuery.TryRead(bytes.AsSpan(0, query.Size), out NbdMetaContextQuery read), Is.True);
        Assert.That(read.ExportName, Is.EqualTo("e"));
        Assert.That(read.Queries, Is.EqualTo(query.Queries));
        for (int length = 0; length <= bytes.Length; length++)
        {
            Assert.That(NbdMetaContextQuery.TryRead(bytes.AsSpan(0, length), out _), Is.EqualTo(length == query.Size), $"length {length}");
        }
    }

    [Test]
    public void Meta_context_and_export_entry_read_back()
    {
        var context = new NbdMetaContext(2, "qemu:dirty-bitmap:b0");
        byte[] bytes = new byte[context.Size];
        context.Write(bytes);
        Assert.That(NbdMetaContext.Read(bytes), Is.EqualTo(context));
        var entry = new NbdExportEntry("n", "a text");
        bytes = new byte[entry.Size];
        entry.Write(bytes);
        Assert.That(NbdExportEntry.TryRead(bytes, out NbdExportEntry read), Is.True);
        Assert.That(read, Is.EqualTo(entry));
        Assert.That(NbdExportEntry.TryRead(bytes.AsSpan(0, 4), out _), Is.False);
    }

    [TestCase(0, NbdError.None)]
    [TestCase(1, NbdError.NotPermitted)]
    [TestCase(5, NbdError.InputOutput)]
    [TestCase(12, NbdError.NoMemory)]
    [TestCase(13, NbdError.Invalid)]
    [TestCase(27, NbdError.NoSpace)]
    [TestCase(28, NbdError.NoSpace)]
    [TestCase(30, NbdError.NotPermitted)]
    [TestCase(95, NbdError.NotSupported)]
    [TestCase(108, NbdError.Shutdown)]
    [TestCase(122, NbdError.NoSpace)]
    [TestCase(2, NbdError.Invalid)]
    public void Errno_maps_to_the_wire(int errno, NbdError error) => Assert.That(NbdErrorMapping.FromErrno(errno), Is.EqualTo(error));
}
