using Monitor.Block;
using Monitor.Nbd;

namespace Monitor.Storage.Exports;

/// <summary>A meta context of an export: something that can be said of each of its bytes.</summary>
/// <param name="id">Stands for the context in replies; the same for all clients of the export.</param>
/// <param name="name">The full name, such as <c>base:allocation</c>.</param>
internal abstract class NbdContext(uint id, string name)
{
    /// <summary>Stands for the context in replies.</summary>
    public uint Id { get; } = id;

    /// <summary>The full name.</summary>
    public string Name { get; } = name;

    /// <summary>Describes a range from its beginning, as far as the list has room.</summary>
    /// <param name="offset">Bytes.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <param name="extents">Takes at least one.</param>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public abstract ValueTask DescribeAsync(long offset, long length, NbdExtentList extents);

    /// <summary>Whether a client that lists contexts by <paramref name="query"/> is shown this one.</summary>
    public bool IsListedBy(string query) =>
        query == Name
        || (query == NbdMetaContextName.BaseNamespace && Name.StartsWith(NbdMetaContextName.BaseNamespace, StringComparison.Ordinal))
        || (query == NbdMetaContextName.QemuNamespace && Name.StartsWith(NbdMetaContextName.QemuNamespace, StringComparison.Ordinal))
        || (query == NbdMetaContextName.QemuDirtyBitmapPrefix && Name.StartsWith(query, StringComparison.Ordinal));
}
