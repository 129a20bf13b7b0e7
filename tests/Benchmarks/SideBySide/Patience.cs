namespace Benchmarks.SideBySide;

/// <summary>How long is waited before a run counts as failed: whatever a daemon or a tool does, the bench goes on.</summary>
internal static class Patience
{
    /// <summary>For one answer on a socket, and for a daemon's end after <c>quit</c>.</summary>
    public static readonly TimeSpan Answer = TimeSpan.FromSeconds(60);

    /// <summary>For a daemon to listen, and to answer its first client.</summary>
    public static readonly TimeSpan Start = TimeSpan.FromSeconds(10);

    /// <summary>For a tool that makes or checks an image.</summary>
    public static readonly TimeSpan Tool = TimeSpan.FromMinutes(5);
}
