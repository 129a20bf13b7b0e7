using Monitor.Block;
using Monitor.Block.Drivers.File;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;

namespace Interop;

/// <summary>A qcow2 file made by qemu-img that both sides open in turn; deleted at the end.</summary>
internal sealed class BitmapImage : IDisposable
{
    internal BitmapImage(long sizeBytes, int clusterBytes) =>
        QemuTool.Run("qemu-img", "create", "-q", "-f", "qcow2", "-o", $"cluster_size={clusterBytes}", Path, $"{sizeBytes}");

    internal string Path { get; } = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"bitmaps-{Guid.NewGuid():N}.qcow2");

    public void Dispose() => File.Delete(Path);

    /// <summary>Opens it with our driver, for writing.</summary>
    internal async Task<OpenImage> OpenAsync()
    {
        var file = new FileNode(new BlockNodeSettings { NodeName = "f" }, Path, locking: false);
        await file.OpenAsync();
        var node = new Qcow2Node(new BlockNodeSettings { NodeName = "q" }, null, new NoEvents());
        var edge = new BlockChild(node, file, "file", BlockChildRole.Image);
        node.AddChild(edge);
        file.AddParent(edge);
        await node.OpenAsync();
        return new OpenImage(node, file);
    }

    private sealed class NoEvents : IEventSink
    {
        public void Emit<TData>(string name, TData? data)
            where TData : class, IQapiOutput
        {
        }
    }
}
