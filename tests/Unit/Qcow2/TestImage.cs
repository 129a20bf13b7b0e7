using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;

namespace Unit.Qcow2;

/// <summary>Builds, opens and closes images on a <see cref="StorageNode"/>.</summary>
internal static class TestImage
{
    public static async Task<StorageContent> CreateAsync(
        long sizeBytes, int clusterBytes = 65536, int refcountBits = 16, BlockdevQcow2Version version = BlockdevQcow2Version.V3, string? backingFile = null)
    {
        return await CreateAsync(new BlockdevCreateOptionsQcow2
        {
            File = null!,
            Size = (ulong)sizeBytes,
            ClusterSize = (ulong)clusterBytes,
            RefcountBits = refcountBits,
            Version = version,
            BackingFile = backingFile,
        });
    }

    public static async Task<StorageContent> CreateAsync(BlockdevCreateOptionsQcow2 options, BlockNode? dataFile = null)
    {
        var storage = new StorageNode();
        await Qcow2Image.CreateAsync(storage, options, dataFile);
        return storage.Content;
    }

    public static async Task<Qcow2Node> OpenAsync(
        StorageNode storage,
        BlockNode? backing = null,
        BlockdevOptionsQcow2? options = null,
        EventRecorder? events = null,
        bool readOnly = false,
        BlockNode? dataFile = null,
        TimeProvider? time = null)
    {
        var node = new Qcow2Node(
            new BlockNodeSettings { NodeName = "q", ReadOnly = readOnly, DiscardUnmap = true }, options, events ?? new EventRecorder(), time);
        Attach(node, storage, "file", BlockChildRole.Image);
        if (dataFile is not null)
        {
            Attach(node, dataFile, "data-file", BlockChildRole.Data);
        }

        if (backing is not null)
        {
            Attach(node, backing, "backing", BlockChildRole.CopyOnWrite);
        }

        await node.OpenAsync();
        return node;
    }

    public static async Task<byte[]> ReadAllAsync(BlockNode node)
    {
        byte[] all = new byte[node.SizeBytes];
        await node.ReadAsync(0, all);
        return all;
    }

    /// <summary>Where two arrays differ first, or -1; quicker than a constraint on megabytes.</summary>
    public static int FirstDifference(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right)
    {
        int common = left.CommonPrefixLength(right);
        return common == left.Length && common == right.Length ? -1 : common;
    }

    private static void Attach(BlockNode parent, BlockNode child, string name, BlockChildRole role)
    {
        var edge = new BlockChild(parent, child, name, role);
        parent.AddChild(edge);
        child.AddParent(edge);
    }
}
