namespace Monitor.Block;

/// <summary>A node-name kept for a node that is being opened; dispose in a turn once the node is in the graph or given up.</summary>
public sealed class NodeNameReservation : IDisposable
{
    private readonly BlockGraph _graph;
    private readonly string _nodeName;
    private bool _released;

    internal NodeNameReservation(BlockGraph graph, string nodeName)
    {
        _graph = graph;
        _nodeName = nodeName;
    }

    /// <summary>Frees the name, or leaves it to the node that has it now.</summary>
    public void Dispose()
    {
        if (!_released)
        {
            _released = true;
            _graph.ReleaseName(_nodeName);
        }
    }
}
