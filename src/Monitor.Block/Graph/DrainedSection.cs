namespace Monitor.Block;

/// <summary>A time in which no request is inside the affected nodes: the doors above them are closed and what was inside has left.</summary>
/// <remarks>Begun by <see cref="BlockGraph.DrainAsync(IReadOnlyCollection{BlockNode})"/>, ended by <see cref="Dispose"/>; both are turns. Sections nest.</remarks>
public sealed class DrainedSection : IDisposable
{
    private readonly List<BlockBackend> _doors;
    private readonly IReadOnlyCollection<BlockNode> _below;
    private bool _ended;

    private DrainedSection(List<BlockBackend> doors, IReadOnlyCollection<BlockNode> below)
    {
        _doors = doors;
        _below = below;
    }

    /// <summary>Opens the doors again. Whoever was attached meanwhile was never closed.</summary>
    public void Dispose()
    {
        if (_ended)
        {
            return;
        }

        _ended = true;
        foreach (BlockNode node in _below)
        {
            node.OnDrainEnded();
        }

        foreach (BlockBackend door in _doors)
        {
            door.OpenDoor();
        }
    }

    /// <summary>Closes doors and waits until nothing is under way below them.</summary>
    /// <param name="doors">The doors.</param>
    /// <param name="below">All nodes that requests through them may reach.</param>
    internal static async ValueTask<DrainedSection> BeginAsync(List<BlockBackend> doors, IReadOnlyCollection<BlockNode> below)
    {
        foreach (BlockBackend door in doors)
        {
            door.CloseDoor();
        }

        foreach (BlockNode node in below)
        {
            node.OnDrainBegun();
        }

        foreach (BlockBackend door in doors)
        {
            await door.WaitEmptyAsync();
        }

        foreach (BlockNode node in below)
        {
            await node.WhenIdleAsync();
        }

        return new DrainedSection(doors, below);
    }
}
