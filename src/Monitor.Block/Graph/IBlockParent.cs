namespace Monitor.Block;

/// <summary>Whoever may stand above a node: another node, or a backend.</summary>
public interface IBlockParent
{
    /// <summary>As error texts name it: <c>node 'q'</c>, <c>block device 'd'</c>, <c>an unnamed block device</c>, <c>block job 'j'</c>.</summary>
    string Description { get; }
}
