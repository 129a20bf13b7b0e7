namespace Monitor.Block.Bitmaps;

/// <summary>Where a node's persistent bitmaps are kept.</summary>
public interface IBitmapStore
{
}
