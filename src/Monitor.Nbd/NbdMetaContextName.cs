namespace Monitor.Nbd;

/// <summary>The names of the meta contexts: the specification's own and those that QEMU registered.</summary>
public static class NbdMetaContextName
{
    /// <summary>The namespace of the specification.</summary>
    public const string BaseNamespace = "base:";

    /// <summary>Data, holes and zeroes; extents carry <see cref="NbdAllocationFlags"/>.</summary>
    public const string BaseAllocation = "base:allocation";

    /// <summary>QEMU's namespace.</summary>
    public const string QemuNamespace = "qemu:";

    /// <summary>How deep in the backing chain an extent was found: 0 nowhere, 1 the top image, and so on.</summary>
    public const string QemuAllocationDepth = "qemu:allocation-depth";

    /// <summary>Begins the name of a dirty bitmap's context; extents carry 1 where dirty, else 0.</summary>
    public const string QemuDirtyBitmapPrefix = "qemu:dirty-bitmap:";
}
