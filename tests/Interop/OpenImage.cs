using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Drivers.Qcow2;

namespace Interop;

/// <summary>A qcow2 node and the file below it; closing stores the bitmaps.</summary>
internal sealed record OpenImage(Qcow2Node Node, BlockNode File) : IAsyncDisposable
{
    internal NodeBitmaps Bitmaps => Node.Bitmaps;

    public async ValueTask DisposeAsync()
    {
        await Node.CloseAsync();
        await File.CloseAsync();
    }
}
