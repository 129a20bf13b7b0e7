using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage.Drives;
using BlockPermission = Monitor.Qapi.BlockPermission;
using GraphPermission = Monitor.Block.BlockPermission;

namespace Monitor.Storage.Commands;

/// <summary>How <c>x-debug-query-block-graph</c> shows the graph: vertices numbered in the order they are met, lists newest first.</summary>
internal sealed class BlockGraphDescription
{
    private static readonly (GraphPermission Permission, BlockPermission Word)[] s_permissions =
    [
        (GraphPermission.Resize, BlockPermission.Resize),
        (GraphPermission.WriteUnchanged, BlockPermission.WriteUnchanged),
        (GraphPermission.Write, BlockPermission.Write),
        (GraphPermission.ConsistentRead, BlockPermission.ConsistentRead),
    ];

    private readonly Dictionary<object, ulong> _numbers = [];
    private readonly List<XDbgBlockGraphNode> _vertices = [];
    private readonly List<XDbgBlockGraphEdge> _edges = [];

    private BlockGraphDescription()
    {
    }

    /// <summary>Describes all nodes and their users; drives too that have no node.</summary>
    public static XDbgBlockGraph Describe(JobManager jobs, IReadOnlyList<Drive> drives)
    {
        var description = new BlockGraphDescription();
        foreach (Drive drive in drives)
        {
            description.AddDrive(drive);
        }

        foreach (BlockNode node in jobs.Graph.Nodes)
        {
            description.AddUsers(node, jobs);
        }

        foreach (BlockNode node in jobs.Graph.Nodes)
        {
            description.AddNode(node);
        }

        description._vertices.Reverse();
        description._edges.Reverse();
        return new XDbgBlockGraph { Nodes = description._vertices, Edges = description._edges };
    }

    private void AddDrive(Drive drive)
    {
        AddVertex(drive.Backend, XDbgBlockGraphNodeType.BlockBackend, drive.Name);
        if (drive.Backend.Root is { } root)
        {
            AddEdge(drive.Backend, root);
        }
    }

    private void AddUsers(BlockNode node, JobManager jobs)
    {
        foreach (BlockChild edge in node.Parents)
        {
            if (edge.Parent is BlockBackend { Policy: not Drive } door)
            {
                BlockJob? job = jobs.FindOwner(door);
                object user = job is null ? door : job;
                if (!_numbers.ContainsKey(user))
                {
                    AddVertex(user, job is null ? XDbgBlockGraphNodeType.BlockBackend : XDbgBlockGraphNodeType.BlockJob, job?.Id ?? "");
                }

                AddEdge(user, edge);
            }
        }
    }

    private void AddNode(BlockNode node)
    {
        AddVertex(node, XDbgBlockGraphNodeType.BlockDriver, node.NodeName);
        for (int i = node.Children.Count - 1; i >= 0; i--)
        {
            AddEdge(node, node.Children[i]);
        }
    }

    private void AddVertex(object vertex, XDbgBlockGraphNodeType type, string name) =>
        _vertices.Add(new XDbgBlockGraphNode { Id = NumberOf(vertex), Type = type, Name = name });

    private void AddEdge(object parent, BlockChild edge) => _edges.Add(new XDbgBlockGraphEdge
    {
        Parent = NumberOf(parent),
        Child = NumberOf(edge.Node),
        Name = edge.Name,
        Perm = Words(edge.Used),
        SharedPerm = Words(edge.Shared),
    });

    private ulong NumberOf(object vertex)
    {
        if (!_numbers.TryGetValue(vertex, out ulong number))
        {
            number = (ulong)_numbers.Count + 1;
            _numbers.Add(vertex, number);
        }

        return number;
    }

    private static List<BlockPermission> Words(GraphPermission permissions)
    {
        var words = new List<BlockPermission>(s_permissions.Length);
        foreach (var (permission, word) in s_permissions)
        {
            if ((permissions & permission) != 0)
            {
                words.Add(word);
            }
        }

        return words;
    }
}
