namespace Monitor.Qmp;

/// <summary>A monitor: what all sessions over one character device have in common.</summary>
/// <param name="Id">Its name.</param>
/// <param name="IsPretty">Whether what it says is indented over several lines.</param>
internal sealed record QmpMonitor(string Id, bool IsPretty)
{
    /// <summary>The descriptors that its clients have named.</summary>
    public DescriptorNames DescriptorNames { get; } = new();
}
