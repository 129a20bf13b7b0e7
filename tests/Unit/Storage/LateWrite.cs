using Monitor.Block;

namespace Unit.Storage;

/// <summary>A write that comes while its door is closed.</summary>
internal sealed record LateWrite(BlockBackend Door, int Offset, byte[] Bytes, Task Request)
{
    public static LateWrite Begin(BlockBackend door, int offset, byte[] bytes) => new(door, offset, bytes, door.WriteAsync(offset, bytes).AsTask());
}
