namespace Unit.Qcow2;

/// <summary>What an image that is damaged at random is like.</summary>
public enum FuzzedImageKind
{
    /// <summary>Small clusters, some compressed by zlib.</summary>
    Plain,

    /// <summary>Extended L2 entries, some clusters compressed by zstd.</summary>
    Extended,

    /// <summary>Its data in another file.</summary>
    DataFile,
}
