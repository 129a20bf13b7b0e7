namespace Monitor.Block.Drivers.Qcow2;

/// <summary>The flags of a bitmap directory entry (qcow2 spec, "Bitmap directory").</summary>
[Flags]
internal enum Qcow2BitmapFlags : uint
{
    /// <summary>Exact and disabled.</summary>
    None = 0,

    /// <summary>Not saved correctly: the content means nothing.</summary>
    InUse = 1,

    /// <summary>Enabled: records every write.</summary>
    Auto = 2,

    /// <summary>What is known here; an entry with any other flag is refused, as QEMU does.</summary>
    Known = InUse | Auto,
}
