namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Why clusters become free: decides whether the file below is told.</summary>
internal enum Qcow2Discard
{
    /// <summary>They are used again soon.</summary>
    Never,

    /// <summary>The guest discarded them.</summary>
    Request,

    /// <summary>A snapshot was deleted.</summary>
    Snapshot,

    /// <summary>The image's own structures moved.</summary>
    Other,

    /// <summary>The disk became shorter.</summary>
    Always,
}
