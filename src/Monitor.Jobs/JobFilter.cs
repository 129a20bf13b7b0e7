using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Jobs;

/// <summary>Puts a job's filter above a node, and takes it away. Turns, with the graph held and the node drained.</summary>
internal static class JobFilter
{
    /// <summary>Settings of a filter: everything passes, discards too.</summary>
    /// <param name="nodeName">The client's name, or <see langword="null"/> for a generated one.</param>
    /// <param name="source">The node below.</param>
    public static BlockNodeSettings Settings(string? nodeName, BlockNode source) => new()
    {
        NodeName = nodeName ?? NodeName.Generate(),
        ReadOnly = source.IsReadOnly,
        DiscardUnmap = true,
    };

    /// <summary>Adds the filter and moves the source's users onto it. It stays, whatever becomes of them, until <see cref="CloseAsync"/>.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="filter">Without children yet; a name the client gave was reserved.</param>
    /// <param name="source">The node below.</param>
    /// <param name="edgeName">Name of the edge to <paramref name="source"/>.</param>
    /// <param name="refusal">How the text begins when the users cannot be moved.</param>
    /// <param name="target">A second child, for copies made on behalf of guests; may be <see langword="null"/>.</param>
    /// <exception cref="QmpException">Permissions conflict; the graph is as before.</exception>
    public static void Insert(BlockGraph graph, BlockNode filter, BlockNode source, string edgeName, string refusal = "", BlockNode? target = null)
    {
        var edges = new List<BlockChild>();
        try
        {
            edges.Add(graph.AttachChild(filter, source, edgeName, BlockChildRole.Filtered | BlockChildRole.Primary));
            if (target is not null)
            {
                edges.Add(graph.AttachChild(filter, target, "target", BlockChildRole.Data));
            }

            // A filter's open only takes its child's size: it completes at once.
            filter.OpenAsync().AsTask().GetAwaiter().GetResult();
            Move(graph, source, filter, refusal);
        }
        catch
        {
            edges.Reverse();
            foreach (BlockChild edge in edges)
            {
                _ = graph.DetachAsync(edge).AsTask();
            }

            throw;
        }

        filter.IsJobOwned = true;
        graph.Add(filter);
    }

    private static void Move(BlockGraph graph, BlockNode source, BlockNode filter, string refusal)
    {
        try
        {
            graph.MoveParents(source, filter);
        }
        catch (QmpException e)
        {
            throw new QmpException(e.ErrorClass, refusal + e.Message);
        }
    }

    /// <summary>Takes a filter without users out of the graph: its edges go at once, so that nothing is held by what is only being closed.</summary>
    /// <returns>Completes when it is closed, and whatever else nobody wants any more.</returns>
    public static Task CloseAsync(BlockGraph graph, BlockNode filter)
    {
        filter.IsJobOwned = false;
        if (filter.Parents.Count > 0)
        {
            // Its users could not be moved: it stays, and passes everything.
            return Task.CompletedTask;
        }

        var closing = new List<Task> { graph.ReleaseAsync(filter).AsTask() };
        foreach (BlockChild edge in filter.Children.ToArray())
        {
            closing.Add(graph.DetachAsync(edge).AsTask());
        }

        return Task.WhenAll(closing);
    }
}
