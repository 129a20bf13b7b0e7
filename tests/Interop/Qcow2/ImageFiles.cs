using Monitor.Block;
using Monitor.Block.Drivers.File;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;

namespace Interop.Qcow2;

/// <summary>Makes and opens images on disk.</summary>
internal static class ImageFiles
{
    public static async Task CreateAsync(string path, BlockdevCreateOptionsQcow2 options, BlockNode? dataFile = null)
    {
        await File.WriteAllBytesAsync(path, []);
        FileNode file = await OpenFileAsync(path);
        await Qcow2Image.CreateAsync(file, options, dataFile);
        await file.CloseAsync();
    }

    public static async Task<FileNode> OpenFileAsync(string path, bool readOnly = false)
    {
        var file = new FileNode(new BlockNodeSettings { NodeName = "file", DiscardUnmap = true, ReadOnly = readOnly }, path, locking: false);
        await file.OpenAsync();
        return file;
    }

    public static async Task<OpenImage> OpenAsync(string path, BlockdevOptionsQcow2? options = null, BlockNode? backing = null, bool readOnly = false, BlockNode? dataFile = null)
    {
        FileNode file = await OpenFileAsync(path, readOnly);
        return new OpenImage(await OpenOnAsync(file, options, backing, readOnly, dataFile), file);
    }

    /// <summary>Opens an image on a node.</summary>
    public static async Task<Qcow2Node> OpenOnAsync(BlockNode file, BlockdevOptionsQcow2? options, BlockNode? backing, bool readOnly, BlockNode? dataFile)
    {
        var node = new Qcow2Node(new BlockNodeSettings { NodeName = "image", DiscardUnmap = true, ReadOnly = readOnly }, options, new NoEvents());
        Attach(node, file, "file", BlockChildRole.Image);
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

    public static void Attach(BlockNode parent, BlockNode child, string name, BlockChildRole role)
    {
        var edge = new BlockChild(parent, child, name, role);
        parent.AddChild(edge);
        child.AddParent(edge);
    }

    private sealed class NoEvents : IEventSink
    {
        public void Emit<TData>(string name, TData? data)
            where TData : class, IQapiOutput
        {
        }
    }
}
