using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>The backends that have a name, and those whose node may come and go.</summary>
public sealed partial class BlockGraph
{
    private readonly Dictionary<string, BlockBackend> _drives = [];

    /// <summary>The drive of that name, or <see langword="null"/>.</summary>
    public BlockBackend? FindDrive(string name) => _drives.GetValueOrDefault(name);

    /// <summary>The name of the drive whose node it is; empty when no drive with a name has it.</summary>
    /// <remarks>On any thread.</remarks>
    public static string DriveNameOf(BlockNode node)
    {
        foreach (BlockChild edge in node.Parents)
        {
            if (edge.Parent is BlockBackend { Name.Length: > 0 } drive)
            {
                return drive.Name;
            }
        }

        return "";
    }

    /// <summary>Gives a backend the name of a drive, or takes it away.</summary>
    /// <param name="backend">The backend.</param>
    /// <param name="name">Its new name; empty for none.</param>
    /// <exception cref="QmpException">The name is taken.</exception>
    public void SetName(BlockBackend backend, string name)
    {
        AssertTurn();
        if (name.Length > 0)
        {
            if (_nodes.ContainsKey(name) || _reserved.Contains(name))
            {
                throw new QmpException($"Device name '{name}' conflicts with an existing node name");
            }

            if (!_drives.TryAdd(name, backend))
            {
                throw new QmpException($"Device with id '{name}' already exists");
            }
        }

        _drives.Remove(backend.Name);
        backend.Name = name;
    }

    /// <summary>Takes a backend's node away while requests may come: its door is closed meanwhile. The node is closed if nobody else wants it.</summary>
    /// <returns>Completes when a node that was let go of has been closed.</returns>
    public async ValueTask RemoveMediumAsync(BlockBackend backend)
    {
        AssertTurn();
        if (backend.Root is not { } root)
        {
            return;
        }

        using (await DrainAsync(root.Node))
        {
            backend.Root = null;
        }

        await DetachAsync(root);
    }
}
