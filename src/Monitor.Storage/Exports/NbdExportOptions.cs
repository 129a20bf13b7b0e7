using Monitor.Block.Bitmaps;

namespace Monitor.Storage.Exports;

/// <summary>How an NBD export presents itself.</summary>
public sealed record NbdExportOptions
{
    /// <summary>The id that commands use.</summary>
    public required string Id { get; init; }

    /// <summary>The name clients ask for; at most 4096 bytes.</summary>
    public required string Name { get; init; }

    /// <summary>A text for people; at most 4096 bytes.</summary>
    public string? Description { get; init; }

    /// <summary>Whether clients may write.</summary>
    public bool Writable { get; init; }

    /// <summary>Whether every write is durable when replied to.</summary>
    public bool Writethrough { get; init; }

    /// <summary>Whether clients may use several connections as one: so unless the server takes one only.</summary>
    public bool MultiConnection { get; init; } = true;

    /// <summary>Whether <c>qemu:allocation-depth</c> is offered.</summary>
    public bool AllocationDepth { get; init; }

    /// <summary>Offered as <c>qemu:dirty-bitmap:NAME</c>; of those that have one name clients can ask for the first.</summary>
    public IReadOnlyList<DirtyBitmap> Bitmaps { get; init; } = [];
}
