using System.Buffers.Binary;
using System.Text;
using Monitor.Nbd;
using Monitor.Qapi;

namespace Monitor.Storage.Exports;

/// <summary>The server's side of a fixed newstyle negotiation. May wait for the client as long as the connection lasts.</summary>
/// <param name="socket">The connection.</param>
/// <param name="server">Whose exports are offered.</param>
/// <param name="connection">Becomes a client of the export that is chosen.</param>
internal sealed class NbdServerHandshake(NbdSocket socket, NbdServer server, NbdServerConnection connection)
{
    /// <summary>Option data above this are not looked at; nothing sensible is longer.</summary>
    private const int MaxOptionBytes = 64 << 10;

    private bool _fixed;
    private bool _noZeroes;
    private bool _structured;
    private NbdExport? _contextsOf;
    private IReadOnlyList<NbdContext> _contexts = [];

    /// <summary>Negotiates.</summary>
    /// <returns>What was agreed on; null when the client left or broke the protocol.</returns>
    public NbdNegotiated? Run()
    {
        Span<byte> header = stackalloc byte[NbdGreeting.Size];
        new NbdGreeting(NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes).Write(header);
        if (!socket.Send(header) || !ReadClientFlags())
        {
            return null;
        }

        while (ReadOption(out NbdOptionHeader option, out byte[]? data))
        {
            if (data is null)
            {
                if (!Reply(option.Option, NbdOptionReply.ErrorTooBig, "option data are too long"))
                {
                    return null;
                }
            }
            else if (!Answer(option.Option, data, out NbdNegotiated? negotiated) || negotiated is not null)
            {
                return negotiated;
            }
        }

        return null;
    }

    private bool ReadClientFlags()
    {
        Span<byte> bytes = stackalloc byte[4];
        if (!socket.ReceiveExactly(bytes))
        {
            return false;
        }

        uint flags = BinaryPrimitives.ReadUInt32BigEndian(bytes);
        _fixed = (flags & (uint)NbdHandshakeFlags.FixedNewstyle) != 0;
        _noZeroes = (flags & (uint)NbdHandshakeFlags.NoZeroes) != 0;
        return (flags & ~(uint)(NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes)) == 0;
    }

    /// <summary>Reads an option; data that are too long to be meant are passed over and given as null.</summary>
    private bool ReadOption(out NbdOptionHeader option, out byte[]? data)
    {
        data = null;
        option = default;
        Span<byte> header = stackalloc byte[NbdOptionHeader.Size];
        if (!socket.ReceiveExactly(header)
            || !NbdOptionHeader.TryRead(header, out option)
            || option.Length > NbdProtocol.MaxPayloadBytes)
        {
            return false;
        }

        byte[] bytes = new byte[Math.Min(option.Length, MaxOptionBytes)];
        for (uint left = option.Length; left > MaxOptionBytes; left -= MaxOptionBytes)
        {
            if (!socket.ReceiveExactly(bytes))
            {
                return false;
            }
        }

        int rest = option.Length > MaxOptionBytes ? (int)((option.Length - 1) % MaxOptionBytes) + 1 : bytes.Length;
        data = option.Length > MaxOptionBytes ? null : bytes;
        return socket.ReceiveExactly(bytes.AsSpan(0, rest));
    }

    /// <summary>Answers one option.</summary>
    /// <returns>Whether the connection goes on.</returns>
    private bool Answer(NbdOption option, ReadOnlySpan<byte> data, out NbdNegotiated? negotiated)
    {
        negotiated = null;
        if (option == NbdOption.ExportName)
        {
            return ChooseSilently(data, out negotiated);
        }

        if (!_fixed)
        {
            return false;
        }

        switch (option)
        {
            case NbdOption.Abort:
                Acknowledge(option);
                return false;
            case NbdOption.List:
                return data.IsEmpty ? List() : ReplyUnexpectedLength(option);
            case NbdOption.StartTls:
                return data.IsEmpty ? Reply(option, NbdOptionReply.ErrorPolicy, "TLS not configured") : ReplyUnexpectedLength(option);
            case NbdOption.Info or NbdOption.Go:
                return Describe(option, data, out negotiated);
            case NbdOption.StructuredReply:
                return data.IsEmpty ? UseStructuredReplies() : ReplyUnexpectedLength(option);
            case NbdOption.ListMetaContext or NbdOption.SetMetaContext:
                return ChooseContexts(option, data);
            default:
                return Reply(option, NbdOptionReply.ErrorUnsupported, $"Unsupported option {(uint)option} (<unknown>)");
        }
    }

    private bool ChooseSilently(ReadOnlySpan<byte> data, out NbdNegotiated? negotiated)
    {
        negotiated = null;
        if (data.Length > NbdProtocol.MaxStringBytes
            || server.Attach(Encoding.UTF8.GetString(data), connection) is not { } export)
        {
            return false;
        }

        Span<byte> reply = stackalloc byte[NbdExportInfo.Size + NbdProtocol.ExportNamePaddingBytes];
        reply.Clear();
        export.InfoFor(_structured).Write(reply);
        negotiated = Agree(export);
        return socket.Send(_noZeroes ? reply[..NbdExportInfo.Size] : reply);
    }

    private bool List()
    {
        foreach (NbdExport export in server.Exports)
        {
            var entry = new NbdExportEntry(export.Name, export.Description ?? "");
            byte[] data = new byte[entry.Size];
            entry.Write(data);
            if (!Reply(NbdOption.List, NbdOptionReply.Server, data))
            {
                return false;
            }
        }

        return Acknowledge(NbdOption.List);
    }

    private bool Describe(NbdOption option, ReadOnlySpan<byte> data, out NbdNegotiated? negotiated)
    {
        negotiated = null;
        if (!NbdExportQuery.TryRead(data, out NbdExportQuery query))
        {
            return Reply(option, NbdOptionReply.ErrorInvalid, $"Inconsistent lengths in option {NameOf(option)}");
        }

        if (!CheckName(option, query.Name, out bool goesOn))
        {
            return goesOn;
        }

        NbdExport? export = option == NbdOption.Go ? server.Attach(query.Name, connection) : server.Find(query.Name);
        if (export is null)
        {
            return ReplyUnknownExport(option, query.Name);
        }

        if (option == NbdOption.Go)
        {
            negotiated = Agree(export);
        }

        if (!SendInfos(option, export, query))
        {
            return false;
        }

        // A client of Go that does not ask gets a minimum of 1, and requests of any alignment are done.
        bool mustAsk = option == NbdOption.Info && !query.Infos.Contains(NbdInfo.BlockSize) && export.BlockSizesFor(obeys: true).Minimum > 1;
        return mustAsk
            ? Reply(option, NbdOptionReply.ErrorBlockSizeRequired, "request NBD_INFO_BLOCK_SIZE to use this export")
            : Acknowledge(option);
    }

    private bool SendInfos(NbdOption option, NbdExport export, NbdExportQuery query)
    {
        if (query.Infos.Contains(NbdInfo.Name) && !ReplyInfo(option, NbdInfo.Name, Encoding.UTF8.GetBytes(export.Name)))
        {
            return false;
        }

        if (export.Description is { } text && !ReplyInfo(option, NbdInfo.Description, Encoding.UTF8.GetBytes(text)))
        {
            return false;
        }

        bool obeys = option == NbdOption.Info || query.Infos.Contains(NbdInfo.BlockSize);
        byte[] sizes = new byte[NbdBlockSizes.Size];
        export.BlockSizesFor(obeys).Write(sizes);
        byte[] info = new byte[NbdExportInfo.Size];
        export.InfoFor(_structured).Write(info);
        return ReplyInfo(option, NbdInfo.BlockSize, sizes) && ReplyInfo(option, NbdInfo.Export, info);
    }

    private bool UseStructuredReplies()
    {
        if (_structured)
        {
            return Reply(NbdOption.StructuredReply, NbdOptionReply.ErrorInvalid, "structured reply already negotiated");
        }

        _structured = true;
        return Acknowledge(NbdOption.StructuredReply);
    }

    private bool ChooseContexts(NbdOption option, ReadOnlySpan<byte> data)
    {
        bool set = option == NbdOption.SetMetaContext;
        if (set && !_structured)
        {
            const string Text = "request option 'set meta context' when structured reply is not negotiated";
            return Reply(option, NbdOptionReply.ErrorInvalid, Text);
        }

        if (!NbdMetaContextQuery.TryRead(data, out NbdMetaContextQuery query))
        {
            return Reply(option, NbdOptionReply.ErrorInvalid, $"Inconsistent lengths in option {NameOf(option)}");
        }

        if (!CheckName(option, query.ExportName, out bool goesOn))
        {
            return goesOn;
        }

        if (server.Find(query.ExportName) is not { } export)
        {
            return ReplyUnknownExport(option, query.ExportName);
        }

        bool all = !set && query.Queries.Count == 0;
        IEnumerable<NbdContext> asked =
            export.Contexts.Where(context => all || query.Queries.Any(text => set ? text == context.Name : context.IsListedBy(text)));

        // Of bitmaps that have one name a client can only have the first.
        List<NbdContext> chosen = [.. set ? asked.DistinctBy(context => context.Name) : asked];
        if (set)
        {
            (_contextsOf, _contexts) = (export, chosen);
        }

        return chosen.All(context => ReplyContext(option, new NbdMetaContext(set ? context.Id : 0, context.Name))) && Acknowledge(option);
    }

    /// <summary>Contexts hold for the export they were chosen for, and only for clients that read chunks.</summary>
    private NbdNegotiated Agree(NbdExport export)
    {
        DaemonLog.Info("Nbd", $"client connected to export '{export.Name}'");
        return new NbdNegotiated(export, _structured, export == _contextsOf && _structured ? _contexts : []);
    }

    private bool CheckName(NbdOption option, string name, out bool goesOn)
    {
        int length = Encoding.UTF8.GetByteCount(name);
        goesOn = length <= NbdProtocol.MaxStringBytes || Reply(option, NbdOptionReply.ErrorInvalid, $"Invalid name length: {length}");
        return length <= NbdProtocol.MaxStringBytes;
    }

    private bool Acknowledge(NbdOption option) => Reply(option, NbdOptionReply.Ack, []);

    private bool ReplyUnknownExport(NbdOption option, string name) =>
        Reply(option, NbdOptionReply.ErrorUnknown, $"export '{name}' not present");

    private bool ReplyUnexpectedLength(NbdOption option) =>
        Reply(option, NbdOptionReply.ErrorInvalid, $"option '{NameOf(option)}' has unexpected length");

    private bool ReplyContext(NbdOption option, NbdMetaContext context)
    {
        byte[] data = new byte[context.Size];
        context.Write(data);
        return Reply(option, NbdOptionReply.MetaContext, data);
    }

    private bool ReplyInfo(NbdOption option, NbdInfo info, byte[] content)
    {
        byte[] data = new byte[2 + content.Length];
        BinaryPrimitives.WriteUInt16BigEndian(data, (ushort)info);
        content.CopyTo(data, 2);
        return Reply(option, NbdOptionReply.Info, data);
    }

    private bool Reply(NbdOption option, NbdOptionReply reply, string message) => Reply(option, reply, Encoding.UTF8.GetBytes(message));

    private bool Reply(NbdOption option, NbdOptionReply reply, byte[] data)
    {
        byte[] bytes = new byte[NbdOptionReplyHeader.Size + data.Length];
        new NbdOptionReplyHeader(option, reply, (uint)data.Length).Write(bytes);
        data.CopyTo(bytes, NbdOptionReplyHeader.Size);
        return socket.Send(bytes);
    }

    private static string NameOf(NbdOption option) => option switch
    {
        NbdOption.List => "list",
        NbdOption.StartTls => "starttls",
        NbdOption.Info => "info",
        NbdOption.Go => "go",
        NbdOption.StructuredReply => "structured reply",
        NbdOption.ListMetaContext => "list meta context",
        _ => "set meta context",
    };
}
