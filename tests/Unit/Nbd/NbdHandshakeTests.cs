using Monitor.Nbd;
using Monitor.Storage.Exports;
using NUnit.Framework;

namespace Unit.Nbd;

/// <summary>The negotiation, option by option.</summary>
public sealed class NbdHandshakeTests
{
    private const NbdTransmissionFlags WritableFlags = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush | NbdTransmissionFlags.SendFua
        | NbdTransmissionFlags.SendTrim | NbdTransmissionFlags.SendWriteZeroes | NbdTransmissionFlags.CanMultiConn
        | NbdTransmissionFlags.SendCache | NbdTransmissionFlags.SendFastZero;

    private NbdHost _host = null!;
    private NbdScriptedClient _client = null!;

    [SetUp]
    public void SetUp()
    {
        _host = new NbdHost(options: node => new NbdExportOptions
        {
            Id = "id",
            Name = "e",
            Description = "a text",
            Writable = true,
            AllocationDepth = true,
            Bitmaps = [node.Bitmaps.Add("b0", 65536), node.Bitmaps.Add("b1", 65536)],
        });
        _client = _host.Connect();
    }

    [TearDown]
    public void TearDown()
    {
        _client.Dispose();
        _host.Dispose();
    }

    [Test]
    public void List_names_and_describes_every_export()
    {
        NbdClientHandshake.Begin(_client.Stream);
        Assert.That(_client.Ask(NbdOption.List), Is.EqualTo(new[] { (NbdOptionReply.Server, "\0\0\0\u0001ea text"), (NbdOptionReply.Ack, "") }));
    }

    [Test]
    public void Info_tells_description_block_sizes_and_export_and_the_name_if_asked()
    {
        NbdClientHandshake.Begin(_client.Stream);
        string[] plain = [.. NbdClientHandshake.Ask(_client.Stream, NbdOption.Info, Query("e"))
            .Select(reply => $"{reply.Type} {Convert.ToHexString(reply.Data)}")];
        Assert.That(plain, Has.Length.EqualTo(4));
        Assert.That(plain[0], Does.StartWith("Info 0002"));
        Assert.That(plain[1], Is.EqualTo("Info 0003000000010000100002000000"));
        Assert.That(plain[2], Is.EqualTo("Info 000000000000008000000D6D"));
        Assert.That(plain[3], Is.EqualTo("Ack "));
        Assert.That(_client.Ask(NbdOption.Info, Query("e", NbdInfo.Name))[0], Is.EqualTo((NbdOptionReply.Info, "\0\u0001e")));
    }

    [Test]
    public void Info_without_block_sizes_is_refused_where_they_matter()
    {
        _host.Node.Alignment = 4096;
        NbdClientHandshake.Begin(_client.Stream);
        Assert.That(_client.Ask(NbdOption.Info, Query("e"))[^1], Is.EqualTo((NbdOptionReply.ErrorBlockSizeRequired, "request NBD_INFO_BLOCK_SIZE to use this export")));
        Assert.That(_client.Ask(NbdOption.Info, Query("e", NbdInfo.BlockSize))[^1].Item1, Is.EqualTo(NbdOptionReply.Ack));
    }

    [Test]
    public void Go_begins_the_transmission_with_the_flags_of_a_writable_export()
    {
        NbdClientExport export = _client.Go().Export!;
        Assert.That(export.Info, Is.EqualTo(new NbdExportInfo(NbdHost.SizeBytes, WritableFlags | NbdTransmissionFlags.SendDontFragment)));
        Assert.That(export.BlockSizes, Is.EqualTo(new NbdBlockSizes(1, 4096, 32 << 20)));
        Assert.That(_host.Export.ConnectionCount, Is.EqualTo(1));
    }

    [TestCase(3u, 10)]
    [TestCase(1u, 134)]
    public void Export_name_is_answered_with_size_and_flags_and_padding_unless_waived(uint clientFlags, int replyBytes)
    {
        _client.ReadBytes(NbdGreeting.Size);
        _client.Stream.Write([0, 0, 0, (byte)clientFlags, .. Option(NbdOption.ExportName, "e"u8)]);
        byte[] reply = _client.ReadBytes(replyBytes);
        Assert.That(NbdExportInfo.Read(reply), Is.EqualTo(new NbdExportInfo(NbdHost.SizeBytes, WritableFlags)));
        _client.Send(NbdCommand.Flush, 0, 0);
        Assert.That(_client.ReadSimple().Error, Is.EqualTo(NbdError.None));
    }

    [Test]
    public void Export_name_of_no_export_closes_the_connection()
    {
        NbdClientHandshake.Begin(_client.Stream);
        _client.Stream.Write(Option(NbdOption.ExportName, "zz"u8));
        Assert.That(_client.Stream.ReadByte(), Is.EqualTo(-1));
    }

    [Test]
    public void Errors_name_the_option_and_leave_the_negotiation_usable()
    {
        NbdClientHandshake.Begin(_client.Stream);
        Check(NbdOption.List, [1], NbdOptionReply.ErrorInvalid, "option 'list' has unexpected length");
        Check(NbdOption.StartTls, [], NbdOptionReply.ErrorPolicy, "TLS not configured");
        Check(NbdOption.StartTls, [1], NbdOptionReply.ErrorInvalid, "option 'starttls' has unexpected length");
        Check((NbdOption)99, [1, 2, 3], NbdOptionReply.ErrorUnsupported, "Unsupported option 99 (<unknown>)");
        Check(NbdOption.Info, [0], NbdOptionReply.ErrorInvalid, "Inconsistent lengths in option info");
        Check(NbdOption.Go, [.. Query("e"), 0], NbdOptionReply.ErrorInvalid, "Inconsistent lengths in option go");
        Check(NbdOption.Info, Query("zz"), NbdOptionReply.ErrorUnknown, "export 'zz' not present");
        Check(NbdOption.Go, Query("zz"), NbdOptionReply.ErrorUnknown, "export 'zz' not present");
        Check(NbdOption.Go, Query(new string('q', 5000)), NbdOptionReply.ErrorInvalid, "Invalid name length: 5000");
        Check(NbdOption.SetMetaContext, Contexts("e"), NbdOptionReply.ErrorInvalid, "request option 'set meta context' when structured reply is not negotiated");
        Check(NbdOption.StructuredReply, [1], NbdOptionReply.ErrorInvalid, "option 'structured reply' has unexpected length");
        Check(NbdOption.StructuredReply, [], NbdOptionReply.Ack, "");
        Check(NbdOption.StructuredReply, [], NbdOptionReply.ErrorInvalid, "structured reply already negotiated");
        Check(NbdOption.ListMetaContext, Contexts("zz"), NbdOptionReply.ErrorUnknown, "export 'zz' not present");
        Check(NbdOption.ListMetaContext, [0, 0], NbdOptionReply.ErrorInvalid, "Inconsistent lengths in option list meta context");
        Check(NbdOption.SetMetaContext, [.. Contexts("e"), 9], NbdOptionReply.ErrorInvalid, "Inconsistent lengths in option set meta context");
        Check(NbdOption.Info, new byte[100_000], NbdOptionReply.ErrorTooBig, "option data are too long");
        Check(NbdOption.Info, new byte[64 << 11], NbdOptionReply.ErrorTooBig, "option data are too long");
        Check(NbdOption.Info, Query("zz"), NbdOptionReply.ErrorUnknown, "export 'zz' not present");
    }

    [Test]
    public void Contexts_are_listed_by_namespace_and_set_by_full_name()
    {
        NbdClientHandshake.Begin(_client.Stream);
        _client.Ask(NbdOption.StructuredReply);
        string[] all = ["0 base:allocation", "0 qemu:allocation-depth", "0 qemu:dirty-bitmap:b0", "0 qemu:dirty-bitmap:b1"];
        Assert.That(Names(NbdOption.ListMetaContext), Is.EqualTo(all));
        Assert.That(Names(NbdOption.ListMetaContext, "base:"), Is.EqualTo(all[..1]));
        Assert.That(Names(NbdOption.ListMetaContext, "qemu:"), Is.EqualTo(all[1..]));
        Assert.That(Names(NbdOption.ListMetaContext, "qemu:dirty-bitmap:"), Is.EqualTo(all[2..]));
        Assert.That(Names(NbdOption.ListMetaContext, "qemu:dirty-bitmap:b1", "base:allocation"), Is.EqualTo(new[] { all[0], all[3] }));
        Assert.That(Names(NbdOption.ListMetaContext, "qemu:dirty-bitmap:zz", "foo:", ""), Is.Empty);
        Assert.That(Names(NbdOption.SetMetaContext), Is.Empty);
        Assert.That(Names(NbdOption.SetMetaContext, "base:", "qemu:"), Is.Empty);
        string[] set = ["0 base:allocation", "1 qemu:allocation-depth", "2 qemu:dirty-bitmap:b0", "3 qemu:dirty-bitmap:b1"];
        Assert.That(Names(NbdOption.SetMetaContext, "qemu:dirty-bitmap:b1", "base:allocation", "qemu:dirty-bitmap:b0", "qemu:allocation-depth"), Is.EqualTo(set));
    }

    [Test]
    public void Abort_is_acknowledged_before_the_end()
    {
        NbdClientHandshake.Begin(_client.Stream);
        Assert.That(_client.Ask(NbdOption.Abort), Is.EqualTo(new[] { (NbdOptionReply.Ack, "") }));
        Assert.That(_client.Stream.ReadByte(), Is.EqualTo(-1));
    }

    [TestCase("00000004", TestName = "Unknown_client_flags_close_the_connection")]
    [TestCase("0000000049484156454F50540000000300000000", TestName = "An_option_without_fixed_newstyle_closes_the_connection")]
    [TestCase("0000000349484156454F50580000000300000000", TestName = "A_wrong_option_magic_closes_the_connection")]
    [TestCase("0000000349484156454F50540000000602000001", TestName = "Option_data_above_32_MiB_close_the_connection")]
    public void Closes(string hex)
    {
        _client.ReadBytes(NbdGreeting.Size);
        _client.Stream.Write(Convert.FromHexString(hex));
        _client.ReadToEnd();
        NbdHost.Await(() => _host.Server.ConnectionCount == 0, "the connection stayed");
    }

    private static byte[] Option(NbdOption option, ReadOnlySpan<byte> data)
    {
        byte[] bytes = new byte[NbdOptionHeader.Size + data.Length];
        new NbdOptionHeader(option, (uint)data.Length).Write(bytes);
        data.CopyTo(bytes.AsSpan(NbdOptionHeader.Size));
        return bytes;
    }

    private static byte[] Query(string name, params NbdInfo[] infos)
    {
        var query = new NbdExportQuery(name, infos);
        byte[] data = new byte[query.Size];
        query.Write(data);
        return data;
    }

    private static byte[] Contexts(string name, params string[] queries)
    {
        var query = new NbdMetaContextQuery(name, queries);
        byte[] data = new byte[query.Size];
        query.Write(data);
        return data;
    }

    private string[] Names(NbdOption option, params string[] queries) =>
        [.. NbdClientHandshake.Ask(_client.Stream, option, Contexts("e", queries))
            .Where(reply => reply.Type == NbdOptionReply.MetaContext)
            .Select(reply => NbdMetaContext.Read(reply.Data))
            .Select(context => $"{context.Id} {context.Name}")];

    private void Check(NbdOption option, byte[] data, NbdOptionReply type, string text) =>
        Assert.That(_client.Ask(option, data), Is.EqualTo(new[] { (type, text) }));
}
