using Monitor.Nbd;

namespace Monitor.Block.Drivers.Nbd;

/// <summary>How a request ended.</summary>
/// <param name="Errno">0; a positive errno of the server's; or <see cref="Lost"/>.</param>
/// <param name="Extent">The first extent, for a block status.</param>
internal readonly record struct NbdAnswer(int Errno, NbdExtent Extent = default)
{
    /// <summary>The connection ended before the answer: the request may have been done or not.</summary>
    public const int Lost = -1;
}
