namespace Monitor.Nbd;

/// <summary>What a piece of information about an export is (NBD specification, "NBD_INFO").</summary>
public enum NbdInfo : ushort
{
    /// <summary>Size and transmission flags; every server sends it.</summary>
    Export = 0,

    /// <summary>The name that the server uses.</summary>
    Name = 1,

    /// <summary>A text for people.</summary>
    Description = 2,

    /// <summary>The block sizes.</summary>
    BlockSize = 3,
}
