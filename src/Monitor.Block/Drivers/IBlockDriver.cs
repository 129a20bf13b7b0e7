using Monitor.Qapi;

namespace Monitor.Block.Drivers;

/// <summary>What the opener must know of a driver to make a node from its options.</summary>
internal interface IBlockDriver
{
    /// <summary>The children to open or find before the node, without the backing one.</summary>
    IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options);

    /// <summary>What the options say of the backing node; <see langword="null"/> if nothing, or the driver has none.</summary>
    BlockdevRefOrNull? Backing(BlockdevOptions options) => null;

    /// <summary>Whether options of an open node may change at all.</summary>
    bool SupportsReopen => true;

    /// <summary>What the options say of the external data file; <see langword="null"/> if nothing, or the driver has none.</summary>
    BlockdevRef? DataFile(BlockdevOptions options) => null;

    /// <summary>Refuses changes of options that an open node cannot follow.</summary>
    /// <param name="before">The options it was opened with.</param>
    /// <param name="after">The options it is to have.</param>
    /// <exception cref="QmpException">An option differs that must not.</exception>
    void CheckReopen(BlockdevOptions before, BlockdevOptions after)
    {
    }

    /// <summary>Makes the node; it has no children yet and touches nothing.</summary>
    /// <exception cref="QmpException">The options contradict each other.</exception>
    BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph);
}

/// <summary>A child that a node needs.</summary>
/// <param name="Name">The edge's name.</param>
/// <param name="Role">What it is to the node.</param>
/// <param name="Reference">A definition to open, or the name of an existing node.</param>
internal readonly record struct BlockChildSpec(string Name, BlockChildRole Role, BlockdevRef Reference);
