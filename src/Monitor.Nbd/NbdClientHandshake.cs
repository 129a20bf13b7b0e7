using System.Buffers.Binary;
using System.Text;

namespace Monitor.Nbd;

/// <summary>The client's side of a negotiation, over a connected stream: fixed newstyle, with the older ways where a server knows no other.</summary>
/// <remarks>Every length that the server names is checked before it is used. Error texts are those that QEMU's clients give.</remarks>
public static class NbdClientHandshake
{
    private const int MostReplies = 10_000;

    /// <summary>Reads the greeting and answers it.</summary>
    /// <param name="stream">A stream on which nothing was read yet.</param>
    /// <exception cref="IOException">The peer is no fixed newstyle server.</exception>
    public static void Begin(Stream stream)
    {
        Span<byte> bytes = stackalloc byte[NbdGreeting.Size];
        ReadExactly(stream, bytes, "initial magic");
        if (!NbdGreeting.TryRead(bytes, out NbdGreeting greeting) || !greeting.Flags.HasFlag(NbdHandshakeFlags.FixedNewstyle))
        {
            throw new IOException("The peer is not a fixed newstyle NBD server");
        }

        SendFlags(stream, greeting.Flags);
    }

    /// <summary>Negotiates structured replies if the server knows them, the contexts, and the export.</summary>
    /// <param name="stream">A stream on which nothing was read yet.</param>
    /// <param name="exportName">The export.</param>
    /// <param name="metaContexts">Contexts to ask for; the server may grant fewer.</param>
    /// <exception cref="IOException">The peer breaks the protocol, or refuses.</exception>
    public static NbdClientExport Connect(Stream stream, string exportName, params IReadOnlyList<string> metaContexts)
    {
        if (ReadGreeting(stream) is not { } flags)
        {
            return ConnectOldstyle(stream, exportName);
        }

        SendFlags(stream, flags);
        bool padded = !flags.HasFlag(NbdHandshakeFlags.NoZeroes);
        if (!flags.HasFlag(NbdHandshakeFlags.FixedNewstyle))
        {
            return ExportByName(stream, exportName, padded);
        }

        bool structured = AskForStructuredReplies(stream);
        IReadOnlyList<NbdMetaContext> contexts = structured && metaContexts.Count > 0 ? AskForContexts(stream, exportName, metaContexts) : [];
        if (Go(stream, exportName) is { } found)
        {
            return new NbdClientExport(found.Info, found.Sizes, structured, contexts);
        }

        CheckListed(stream, exportName);
        return ExportByName(stream, exportName, padded) with { StructuredReplies = structured, MetaContexts = contexts };
    }

    /// <summary>Sends one option and reads all replies to it.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="option">What is asked for.</param>
    /// <param name="data">The option's data.</param>
    /// <exception cref="IOException">The peer breaks the protocol.</exception>
    public static IReadOnlyList<(NbdOptionReply Type, byte[] Data)> Ask(Stream stream, NbdOption option, ReadOnlySpan<byte> data)
    {
        Send(stream, option, data);
        var replies = new List<(NbdOptionReply Type, byte[] Data)>();
        do
        {
            if (replies.Count == MostReplies)
            {
                throw new IOException($"Server sends answers to option {NbdOptionName.Of(option)} without end");
            }

            replies.Add(ReadReply(stream, option));
        }
        while (replies[^1].Type is NbdOptionReply.Server or NbdOptionReply.Info or NbdOptionReply.MetaContext);
        return replies;
    }

    /// <summary>The flags of a newstyle server; null for an oldstyle one, whose export follows.</summary>
    private static NbdHandshakeFlags? ReadGreeting(Stream stream)
    {
        Span<byte> bytes = stackalloc byte[8];
        ReadExactly(stream, bytes, "initial magic");
        ulong magic = BinaryPrimitives.ReadUInt64BigEndian(bytes);
        if (magic != NbdProtocol.InitMagic)
        {
            throw new IOException($"Bad initial magic received: 0x{magic:x}");
        }

        ReadExactly(stream, bytes, "server magic");
        magic = BinaryPrimitives.ReadUInt64BigEndian(bytes);
        switch (magic)
        {
            case NbdProtocol.OptionMagic:
                ReadExactly(stream, bytes[..2], "server flags");
                return (NbdHandshakeFlags)BinaryPrimitives.ReadUInt16BigEndian(bytes);
            case NbdProtocol.OldstyleMagic:
                return null;
            default:
                throw new IOException($"Bad server magic received: 0x{magic:x}");
        }
    }

    private static void SendFlags(Stream stream, NbdHandshakeFlags server)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, (uint)(server & (NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes)));
        stream.Write(bytes);
    }

    private static NbdClientExport ConnectOldstyle(Stream stream, string exportName)
    {
        if (exportName.Length > 0)
        {
            throw new IOException("Server does not support non-empty export names");
        }

        Span<byte> bytes = stackalloc byte[12 + NbdProtocol.ExportNamePaddingBytes];
        ReadExactly(stream, bytes, "export length");
        uint flags = BinaryPrimitives.ReadUInt32BigEndian(bytes[8..]);
        return flags >> 16 == 0
            ? new NbdClientExport(new NbdExportInfo(BinaryPrimitives.ReadUInt64BigEndian(bytes), (NbdTransmissionFlags)flags), null, false, [])
            : throw new IOException($"Unexpected export flags {flags:x}");
    }

    private static NbdClientExport ExportByName(Stream stream, string exportName, bool padded)
    {
        Send(stream, NbdOption.ExportName, Encoding.UTF8.GetBytes(exportName));
        Span<byte> bytes = stackalloc byte[NbdExportInfo.Size + NbdProtocol.ExportNamePaddingBytes];
        ReadExactly(stream, padded ? bytes : bytes[..NbdExportInfo.Size], "export length");
        return new NbdClientExport(NbdExportInfo.Read(bytes), null, false, []);
    }

    /// <summary>A server that cannot refuse an export by name hangs up instead: better to look first.</summary>
    private static void CheckListed(Stream stream, string exportName)
    {
        IReadOnlyList<(NbdOptionReply Type, byte[] Data)> replies = Ask(stream, NbdOption.List, []);
        if (IsUnsupported(replies[^1], NbdOption.List))
        {
            return;
        }

        foreach (var (type, data) in replies)
        {
            if (type == NbdOptionReply.Server && NbdExportEntry.TryRead(data, out NbdExportEntry entry) && entry.Name == exportName)
            {
                return;
            }
        }

        throw new IOException($"No export with name '{exportName}' available");
    }

    private static bool AskForStructuredReplies(Stream stream)
    {
        (NbdOptionReply type, byte[] data) = Ask(stream, NbdOption.StructuredReply, [])[^1];
        return type switch
        {
            NbdOptionReply.Ack when data.Length == 0 => true,
            NbdOptionReply.Ack => throw new IOException(
                $"Option {(uint)NbdOption.StructuredReply} ('structured reply') response length is {data.Length} (it should be zero)"),
            _ when IsError(type) => false,
            _ => throw new IOException(
                $"Server answered option {NbdOptionName.Of(NbdOption.StructuredReply)} with unexpected reply {NbdOptionName.Of(type)}"),
        };
    }

    private static List<NbdMetaContext> AskForContexts(Stream stream, string exportName, IReadOnlyList<string> names)
    {
        var query = new NbdMetaContextQuery(exportName, names);
        byte[] data = new byte[query.Size];
        query.Write(data);
        IReadOnlyList<(NbdOptionReply Type, byte[] Data)> replies = Ask(stream, NbdOption.SetMetaContext, data);
        var granted = new List<NbdMetaContext>();
        if (IsError(replies[^1].Type))
        {
            return granted;
        }

        for (int i = 0; i < replies.Count - 1; i++)
        {
            byte[] reply = replies[i].Data;
            if (replies[i].Type != NbdOptionReply.MetaContext || reply.Length <= 4)
            {
                throw new IOException($"Failed to negotiate meta context, server answered with unexpected length {reply.Length}");
            }

            var context = NbdMetaContext.Read(reply);
            if (!names.Contains(context.Name))
            {
                throw new IOException($"Failed to negotiate meta context '{names[0]}', server answered with different context '{context.Name}'");
            }

            if (granted.Exists(other => other.Name == context.Name || other.Id == context.Id))
            {
                throw new IOException("Server answered with more than one context");
            }

            granted.Add(context);
        }

        return granted;
    }

    /// <summary>Asks for the export by the modern option; null if the server does not know that option.</summary>
    private static (NbdExportInfo Info, NbdBlockSizes? Sizes)? Go(Stream stream, string exportName)
    {
        var query = new NbdExportQuery(exportName, [NbdInfo.BlockSize]);
        byte[] data = new byte[query.Size];
        query.Write(data);
        IReadOnlyList<(NbdOptionReply Type, byte[] Data)> replies = Ask(stream, NbdOption.Go, data);
        if (IsUnsupported(replies[^1], NbdOption.Go))
        {
            return null;
        }

        if (replies[^1].Data.Length > 0)
        {
            throw new IOException("server sent invalid NBD_REP_ACK");
        }

        NbdExportInfo? export = null;
        NbdBlockSizes? sizes = null;
        for (int i = 0; i < replies.Count - 1; i++)
        {
            ReadInfo(replies[i], ref export, ref sizes);
        }

        NbdExportInfo info = export ?? throw new IOException("broken server omitted NBD_INFO_EXPORT");
        return sizes is { } s && info.SizeBytes % s.Minimum != 0
            ? throw new IOException($"export size {info.SizeBytes} is not multiple of minimum block size {s.Minimum}")
            : (info, sizes);
    }

    private static void ReadInfo((NbdOptionReply Type, byte[] Data) reply, ref NbdExportInfo? export, ref NbdBlockSizes? sizes)
    {
        if (reply.Type != NbdOptionReply.Info || reply.Data.Length < 2)
        {
            throw new IOException($"unexpected reply type {NbdOptionName.Of(reply.Type)}, expected {NbdOptionName.Of(NbdOptionReply.Info)}");
        }

        ReadOnlySpan<byte> content = reply.Data.AsSpan(2);
        switch ((NbdInfo)BinaryPrimitives.ReadUInt16BigEndian(reply.Data))
        {
            case NbdInfo.Export:
                CheckLength(content, NbdExportInfo.Size);
                export = NbdExportInfo.Read(content);
                break;
            case NbdInfo.BlockSize:
                CheckLength(content, NbdBlockSizes.Size);
                sizes = Checked(NbdBlockSizes.Read(content));
                break;
        }
    }

    private static void CheckLength(ReadOnlySpan<byte> content, int expected)
    {
        if (content.Length != expected)
        {
            throw new IOException($"remaining export info len {content.Length} is unexpected size");
        }
    }

    private static NbdBlockSizes Checked(NbdBlockSizes sizes) =>
        !uint.IsPow2(sizes.Minimum) ? throw new IOException($"server minimum block size {sizes.Minimum} is not a power of two")
        : !uint.IsPow2(sizes.Preferred) || sizes.Preferred < sizes.Minimum
            ? throw new IOException($"server preferred block size {sizes.Preferred} is not valid")
        : sizes.Maximum < sizes.Minimum ? throw new IOException($"server maximum block size {sizes.Maximum} is not valid")
        : sizes;

    private static bool IsError(NbdOptionReply reply) => (uint)reply >> 31 != 0;

    /// <summary>Whether the server does not know an option; its other refusals are thrown.</summary>
    private static bool IsUnsupported((NbdOptionReply Type, byte[] Data) reply, NbdOption option)
    {
        if (reply.Type is NbdOptionReply.Ack or NbdOptionReply.ErrorUnsupported)
        {
            return reply.Type == NbdOptionReply.ErrorUnsupported;
        }

        string name = NbdOptionName.Of(option);
        throw new IOException(reply.Type switch
        {
            NbdOptionReply.ErrorPolicy => $"Denied by server for option {name}",
            NbdOptionReply.ErrorInvalid => $"Invalid parameters for option {name}",
            NbdOptionReply.ErrorPlatform => $"Server lacks support for option {name}",
            NbdOptionReply.ErrorTlsRequired => $"TLS negotiation required before option {name}",
            NbdOptionReply.ErrorUnknown => "Requested export not available",
            NbdOptionReply.ErrorShutdown => $"Server shutting down before option {name}",
            NbdOptionReply.ErrorBlockSizeRequired => $"Server requires INFO_BLOCK_SIZE for option {name}",
            _ => $"Unknown error code when asking for option {name}",
        });
    }

    private static void Send(Stream stream, NbdOption option, ReadOnlySpan<byte> data)
    {
        byte[] request = new byte[NbdOptionHeader.Size + data.Length];
        new NbdOptionHeader(option, (uint)data.Length).Write(request);
        data.CopyTo(request.AsSpan(NbdOptionHeader.Size));
        stream.Write(request);
    }

    private static (NbdOptionReply Type, byte[] Data) ReadReply(Stream stream, NbdOption option)
    {
        Span<byte> bytes = stackalloc byte[NbdOptionReplyHeader.Size];
        ReadExactly(stream, bytes, "option reply");
        if (!NbdOptionReplyHeader.TryRead(bytes, out NbdOptionReplyHeader header))
        {
            throw new IOException("Unexpected option reply magic");
        }

        if (header.Option != option)
        {
            throw new IOException($"Unexpected option type {NbdOptionName.Of(header.Option)}, expected {NbdOptionName.Of(option)}");
        }

        // No answer that means anything is longer than a few names and a text.
        if (header.Length > 4 * NbdProtocol.MaxStringBytes)
        {
            throw new IOException($"incorrect option length {header.Length}");
        }

        byte[] data = new byte[header.Length];
        ReadExactly(stream, data, "option reply");
        return (header.Reply, data);
    }

    private static void ReadExactly(Stream stream, Span<byte> bytes, string what)
    {
        try
        {
            stream.ReadExactly(bytes);
        }
        catch (EndOfStreamException)
        {
            throw new IOException($"Failed to read {what}: Unexpected end-of-file before all data were read");
        }
    }
}
