namespace Monitor.Block;

/// <summary>What a parent does with a node, or lets others do (QAPI <c>BlockPermission</c>).</summary>
[Flags]
public enum BlockPermission
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Reads that return what the node held at some point.</summary>
    ConsistentRead = 1,

    /// <summary>Writes that change what a guest sees.</summary>
    Write = 2,

    /// <summary>Writes that change nothing a guest sees (copy-on-read, stream).</summary>
    WriteUnchanged = 4,

    /// <summary>Changes of the node's size.</summary>
    Resize = 8,

    /// <summary>All of them.</summary>
    All = ConsistentRead | Write | WriteUnchanged | Resize,
}

/// <summary>The wire's words for permissions.</summary>
public static class BlockPermissionNames
{
    private static readonly (BlockPermission Permission, string Name)[] s_names =
    [
        (BlockPermission.ConsistentRead, "consistent read"),
        (BlockPermission.Write, "write"),
        (BlockPermission.WriteUnchanged, "write unchanged"),
        (BlockPermission.Resize, "resize"),
    ];

    /// <summary>The set as error texts list it, such as <c>write, resize</c>.</summary>
    public static string Describe(this BlockPermission permissions)
    {
        var names = new List<string>(s_names.Length);
        foreach (var (permission, name) in s_names)
        {
            if ((permissions & permission) != 0)
            {
                names.Add(name);
            }
        }

        return string.Join(", ", names);
    }
}
