namespace Monitor.Block;

/// <summary>A time in which no request is inside the affected nodes: the doors above them are closed and what was inside has left.</summary>
/// <remarks>Begun by <see cref="BlockGraph.DrainAsync(IReadOnlyCollection{BlockNode})"/>, ended by <see cref="Dispose"/>; both are turns. Sections nest.</remarks>
public sealed class DrainedSection : IDisposable
{
    private readonly List<BlockBackend> _doors;
    private bool _ended;

    private DrainedSection(List<BlockBackend> doors) => _doors = doors;

    /// <summary>Opens the doors again. Whoever was attached meanwhile was never closed.</summary>
    public void Dispose()
    {
        if (_ended)
        {
            return;
        }

        _ended = true;
        foreach (BlockBackend door in _doors)
        {
            door.OpenDoor();
        }
    }

    internal static async ValueTask<DrainedSection> BeginAsync(List<BlockBackend> doors)
    {
        foreach (BlockBackend door in doors)
        {
            door.CloseDoor();
        }

        foreach (BlockBackend door in doors)
        {
            await door.WaitEmptyAsync();
        }

        return new DrainedSection(doors);
    }
}
