using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>The links from a node down to another one, which stay as they are while somebody relies on them. Made and ended in turns.</summary>
public sealed class FrozenChain : IDisposable
{
    private readonly List<BlockChild> _links = [];

    private FrozenChain()
    {
    }

    /// <summary>Freezes the links of the filtered and backing nodes from one node down to another.</summary>
    /// <param name="top">Where the chain begins.</param>
    /// <param name="bottom">Where it ends.</param>
    /// <exception cref="QmpException">There is no such chain, or a part of it is frozen already.</exception>
    public static FrozenChain Freeze(BlockNode top, BlockNode bottom)
    {
        var chain = new FrozenChain();
        for (BlockNode node = top; node != bottom; node = chain._links[^1].Node)
        {
            BlockChild link = node.FilteredOrBacking
                ?? throw new QmpException($"Node '{bottom.NodeName}' is not below node '{top.NodeName}'");
            if (link.IsFrozen)
            {
                throw new QmpException($"Cannot change '{link.Name}' link from '{node.NodeName}' to '{link.Node.NodeName}'");
            }

            chain._links.Add(link);
        }

        foreach (BlockChild link in chain._links)
        {
            link.IsFrozen = true;
        }

        return chain;
    }

    /// <summary>Ends it.</summary>
    public void Dispose()
    {
        foreach (BlockChild link in _links)
        {
            link.IsFrozen = false;
        }

        _links.Clear();
    }
}
