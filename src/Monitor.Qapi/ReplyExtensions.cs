namespace Monitor.Qapi;

/// <summary>What replies hold beyond QEMU 7.2's: set by the command line before anyone is served, for the whole daemon.</summary>
public static class ReplyExtensions
{
    /// <summary>Members that QEMU after 7.2 added (<c>--compat 11.1</c>): clients act differently when they see them.</summary>
    public static bool ShowsNewerMembers { get; set; }

    /// <summary>The member <c>code</c> of errors (<c>--error-codes</c>).</summary>
    public static bool ShowsErrorCodes { get; set; }
}
