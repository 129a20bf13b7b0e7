namespace Monitor.Nbd;

/// <summary>Magic numbers, sizes and limits of the NBD protocol (NBD specification, doc/proto.md).</summary>
public static class NbdProtocol
{
    /// <summary>First word of the server's greeting, <c>NBDMAGIC</c>.</summary>
    public const ulong InitMagic = 0x4e42444d41474943;

    /// <summary>Second word of a newstyle greeting and first of every option, <c>IHAVEOPT</c>.</summary>
    public const ulong OptionMagic = 0x49484156454F5054;

    /// <summary>Second word of an oldstyle greeting.</summary>
    public const ulong OldstyleMagic = 0x00420281861253;

    /// <summary>First word of every reply to an option.</summary>
    public const ulong OptionReplyMagic = 0x0003e889045565a9;

    /// <summary>First word of every request of the transmission phase.</summary>
    public const uint RequestMagic = 0x25609513;

    /// <summary>First word of a simple reply.</summary>
    public const uint SimpleReplyMagic = 0x67446698;

    /// <summary>First word of every chunk of a structured reply.</summary>
    public const uint ChunkMagic = 0x668e33ef;

    /// <summary>The TCP port that IANA gave to NBD.</summary>
    public const int DefaultPort = 10809;

    /// <summary>Bytes at most of an export name, a description or a meta context's name.</summary>
    public const int MaxStringBytes = 4096;

    /// <summary>Bytes at most of one request's payload that every peer must support: 32 MiB.</summary>
    public const int MaxPayloadBytes = 32 << 20;

    /// <summary>Zero bytes after the reply to <see cref="NbdOption.ExportName"/> unless both sides agreed on no zeroes.</summary>
    public const int ExportNamePaddingBytes = 124;
}
