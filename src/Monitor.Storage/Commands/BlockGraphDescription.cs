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
    /// <remarks>In QEMU's order: backends as they were made, jobs newest first, nodes as they were added.</remarks>
    public static XDbgBlockGraph Describe(JobManager jobs, IReadOnlyList<Drive> drives)
    {
        var description = new BlockGraphDescription();
        List<BlockBackend> doors = Doors(jobs.Graph, drives);
        foreach (BlockBackend door in doors.Where(door => jobs.FindOwner(door) is null))
        {
            description.AddBackend(door);
        }

        foreach (BlockJob job in jobs.Jobs.OfType<BlockJob>().Reverse())
        {
            description.AddJob(job, doors.Where(door => jobs.FindOwner(door) == job));
        }

        foreach (BlockNode node in jobs.Graph.Nodes)
        {
            description.AddNode(node);
        }

        description._vertices.Reverse();
        description._edges.Reverse();
        return new XDbgBlockGraph { Nodes = description._vertices, Edges = description._edges };
    }

    private static List<BlockBackend> Doors(BlockGraph graph, IReadOnlyList<Drive> drives)
    {
        var doors = new HashSet<BlockBackend>(drives.Select(drive => drive.Backend));
        foreach (BlockNode node in graph.Nodes)
        {
            doors.UnionWith(node.Parents.Select(edge => edge.Parent).OfType<BlockBackend>());
        }

        return [.. doors.OrderBy(door => door.Number)];
    }

    private void AddBackend(BlockBackend door)
    {
        AddVertex(door, XDbgBlockGraphNodeType.BlockBackend, door.Policy is Drive drive ? drive.Name : "");
        if (door.Root is { } root)
        {
            AddEdge(door, root);
        }
    }

    private void AddJob(BlockJob job, IEnumerable<BlockBackend> doors)
    {
        AddVertex(job, XDbgBlockGraphNodeType.BlockJob, job.Id);
        foreach (BlockBackend door in doors)
        {
            AddEdge(job, door.Root!);
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
