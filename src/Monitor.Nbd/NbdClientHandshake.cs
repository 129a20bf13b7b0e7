using System.Buffers.Binary;
using System.Text;

namespace Monitor.Nbd;

/// <summary>The client's side of a fixed newstyle negotiation, over a connected stream.</summary>
public static class NbdClientHandshake
{
    /// <summary>Reads the greeting and answers it.</summary>
    /// <param name="stream">A stream on which nothing was read yet.</param>
    /// <exception cref="IOException">The peer is no fixed newstyle server.</exception>
    public static void Begin(Stream stream)
    {
        Span<byte> bytes = stackalloc byte[NbdGreeting.Size];
        stream.ReadExactly(bytes);
        if (!NbdGreeting.TryRead(bytes, out NbdGreeting greeting) || !greeting.Flags.HasFlag(NbdHandshakeFlags.FixedNewstyle))
        {
            throw new IOException("The peer is not a fixed newstyle NBD server");
        }

        BinaryPrimitives.WriteUInt32BigEndian(bytes, (uint)(greeting.Flags & (NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes)));
        stream.Write(bytes[..4]);
    }

    /// <summary>Negotiates structured replies if the server knows them, the contexts, and the export.</summary>
    /// <param name="stream">A stream on which nothing was read yet.</param>
    /// <param name="exportName">The export.</param>
    /// <param name="metaContexts">Contexts to ask for; the server may grant fewer.</param>
    /// <exception cref="IOException">The peer breaks the protocol, or refuses; the message is the server's.</exception>
    public static NbdClientExport Connect(Stream stream, string exportName, params IReadOnlyList<string> metaContexts)
    {
        Begin(stream);
        bool structured = Ask(stream, NbdOption.StructuredReply, []) is [{ Type: NbdOptionReply.Ack }];
        List<NbdMetaContext> contexts = [];
        if (structured && metaContexts.Count > 0)
        {
            var query = new NbdMetaContextQuery(exportName, metaContexts);
            byte[] data = new byte[query.Size];
            query.Write(data);
            contexts.AddRange(Granted(stream, NbdOption.SetMetaContext, data, NbdOptionReply.MetaContext)
                .Select(context => NbdMetaContext.Read(context)));
        }

        (NbdExportInfo info, NbdBlockSizes? sizes) = Go(stream, exportName);
        return new NbdClientExport(info, sizes, structured, contexts);
    }

    /// <summary>Sends one option and reads all replies to it.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="option">What is asked for.</param>
    /// <param name="data">The option's data.</param>
    /// <exception cref="IOException">The peer breaks the protocol.</exception>
    public static IReadOnlyList<(NbdOptionReply Type, byte[] Data)> Ask(Stream stream, NbdOption option, ReadOnlySpan<byte> data)
    {
        byte[] request = new byte[NbdOptionHeader.Size + data.Length];
        new NbdOptionHeader(option, (uint)data.Length).Write(request);
        data.CopyTo(request.AsSpan(NbdOptionHeader.Size));
        stream.Write(request);
        var replies = new List<(NbdOptionReply Type, byte[] Data)>();
        do
        {
            replies.Add(ReadReply(stream, option));
        }
        while (replies[^1].Type is NbdOptionReply.Server or NbdOptionReply.Info or NbdOptionReply.MetaContext);
        return replies;
    }

    private static (NbdExportInfo Info, NbdBlockSizes? Sizes) Go(Stream stream, string exportName)
    {
        var query = new NbdExportQuery(exportName, [NbdInfo.BlockSize]);
        byte[] data = new byte[query.Size];
        query.Write(data);
        NbdExportInfo? export = null;
        NbdBlockSizes? sizes = null;
        foreach (byte[] info in Granted(stream, NbdOption.Go, data, NbdOptionReply.Info))
        {
            ReadOnlySpan<byte> content = info.AsSpan(2);
            switch ((NbdInfo)BinaryPrimitives.ReadUInt16BigEndian(info))
            {
                case NbdInfo.Export when content.Length == NbdExportInfo.Size:
                    export = NbdExportInfo.Read(content);
                    break;
                case NbdInfo.BlockSize when content.Length == NbdBlockSizes.Size:
                    sizes = NbdBlockSizes.Read(content);
                    break;
            }
        }

        return (export ?? throw new IOException("The NBD server did not tell the export's size"), sizes);
    }

    private static IEnumerable<byte[]> Granted(Stream stream, NbdOption option, ReadOnlySpan<byte> data, NbdOptionReply expected)
    {
        IReadOnlyList<(NbdOptionReply Type, byte[] Data)> replies = Ask(stream, option, data);
        return replies[^1].Type == NbdOptionReply.Ack
            ? replies.Where(reply => reply.Type == expected && reply.Data.Length >= 4).Select(reply => reply.Data)
            : throw new IOException($"The NBD server refused: {Encoding.UTF8.GetString(replies[^1].Data)}");
    }

    private static (NbdOptionReply Type, byte[] Data) ReadReply(Stream stream, NbdOption option)
    {
        Span<byte> bytes = stackalloc byte[NbdOptionReplyHeader.Size];
        stream.ReadExactly(bytes);
        if (!NbdOptionReplyHeader.TryRead(bytes, out NbdOptionReplyHeader header)
            || header.Option != option || header.Length > NbdProtocol.MaxPayloadBytes)
        {
            throw new IOException("The NBD server sent an invalid option reply");
        }

        byte[] data = new byte[header.Length];
        stream.ReadExactly(data);
        return (header.Reply, data);
    }
}
