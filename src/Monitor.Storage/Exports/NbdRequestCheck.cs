using Monitor.Nbd;

namespace Monitor.Storage.Exports;

/// <summary>Validates all of a request before anything is done.</summary>
internal static class NbdRequestCheck
{
    /// <summary>Says what is wrong with a request.</summary>
    /// <param name="header">The request.</param>
    /// <param name="export">What it is made of.</param>
    /// <param name="structuredReplies">Whether reads may be asked not to be fragmented.</param>
    /// <param name="hasContexts">Whether meta contexts were negotiated.</param>
    /// <param name="message">The text for an error chunk.</param>
    /// <returns><see cref="NbdError.None"/> when the request may begin.</returns>
    public static NbdError Check(
        in NbdRequestHeader header, NbdExport export, bool structuredReplies, bool hasContexts, out string? message)
    {
        NbdCommandFlags valid = NbdCommandFlags.Fua;
        message = null;
        switch (header.Command)
        {
            case NbdCommand.Read:
                valid |= structuredReplies ? NbdCommandFlags.DontFragment : NbdCommandFlags.None;
                break;
            case NbdCommand.WriteZeroes:
                valid |= NbdCommandFlags.NoHole | NbdCommandFlags.FastZero;
                break;
            case NbdCommand.BlockStatus:
                valid |= NbdCommandFlags.ReqOne;
                message = !hasContexts ? "CMD_BLOCK_STATUS not negotiated" : header.Length == 0 ? "need non-zero length" : null;
                break;
            case NbdCommand.Write or NbdCommand.Flush or NbdCommand.Trim or NbdCommand.Cache:
                break;
            default:
                message = $"invalid request type ({(ushort)header.Command}) received";
                break;
        }

        if (message is not null)
        {
            return NbdError.Invalid;
        }

        if (HasPayload(header.Command) && header.Length > NbdProtocol.MaxPayloadBytes)
        {
            message = $"len ({header.Length}) is larger than max len ({NbdProtocol.MaxPayloadBytes})";
            return NbdError.Invalid;
        }

        return CheckRange(header, export, valid, out message);
    }

    private static NbdError CheckRange(in NbdRequestHeader header, NbdExport export, NbdCommandFlags valid, out string? message)
    {
        bool writes = header.Command is NbdCommand.Write or NbdCommand.WriteZeroes or NbdCommand.Trim;
        if (writes && !export.IsWritable)
        {
            message = "Export is read-only";
            return NbdError.NotPermitted;
        }

        ulong size = (ulong)export.SizeBytes;
        if (header.Offset > size || header.Length > size - header.Offset)
        {
            message = $"operation past EOF; From: {header.Offset}, Len: {header.Length}, Size: {size}";
            return writes && header.Command != NbdCommand.Trim ? NbdError.NoSpace : NbdError.Invalid;
        }

        if ((header.Flags & ~valid) != 0)
        {
            message = $"unsupported flags for command {NameOf(header.Command)} (got 0x{(int)header.Flags:x})";
            return NbdError.Invalid;
        }

        if (header.Command != NbdCommand.Read && export.Backend.Root is { Node.IsActive: false })
        {
            message = "export is inactive";
            return NbdError.NotPermitted;
        }

        message = null;
        return NbdError.None;
    }

    private static bool HasPayload(NbdCommand command) => command is NbdCommand.Read or NbdCommand.Write or NbdCommand.Cache;

    private static string NameOf(NbdCommand command) => command switch
    {
        NbdCommand.Read => "read",
        NbdCommand.Write => "write",
        NbdCommand.Flush => "flush",
        NbdCommand.Trim => "trim",
        NbdCommand.Cache => "cache",
        NbdCommand.WriteZeroes => "write zeroes",
        _ => "block status",
    };
}
