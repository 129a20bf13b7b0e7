using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage.Images;

namespace Monitor.Storage.Transactions;

/// <summary><c>blockdev-snapshot-sync</c>: the overlay is a file, which is created or opened first.</summary>
internal sealed class BlockdevSnapshotSyncAction(JobManager jobs, BlockdevSnapshotSync arguments) : SnapshotAction(jobs)
{
    private const long SectorBytes = 512;

    private BlockNode? _overlay;

    public override string ActionName => "blockdev-snapshot-sync";

    public override IEnumerable<BlockNode> DrainedNodes => Graph.TryLookup(arguments.Device, arguments.NodeName) is { } node ? [node, _overlay!] : [];

    public override async ValueTask OpenAsync()
    {
        BlockNode node = FindNode();
        OperationBlockers.Check(Jobs, node);
        if (arguments.NodeName is not null && arguments.SnapshotNodeName is null)
        {
            throw new QmpException("New overlay node-name missing");
        }

        if (arguments.SnapshotNodeName is { } name && Graph.Find(name) is not null)
        {
            throw new QmpException("New overlay node-name already in use");
        }

        BlockdevDriver format = Format();
        if (arguments.Mode != NewImageMode.Existing)
        {
            await CreateAsync(format, node);
        }

        _overlay = await BlockOpener.OpenAsync(Graph, Definition(format, node.Settings), monitorOwned: false);
    }

    public override ValueTask UndoOpenAsync() => ReleaseAsync();

    public override async ValueTask CleanAsync()
    {
        await base.CleanAsync();

        // Nobody used the node, so nobody uses the overlay.
        await Graph.ReleaseAsync(_overlay!);
    }

    protected override BlockNode FindNode() => Graph.Lookup(arguments.Device, arguments.NodeName);

    protected override BlockNode FindOverlay() => _overlay!;

    private BlockdevDriver Format()
    {
        string format = arguments.Format ?? "qcow2";
        return BlockdevDriverWire.TryParse(format, out BlockdevDriver driver) ? driver : throw new QmpException($"Unknown file format '{format}'");
    }

    private async ValueTask CreateAsync(BlockdevDriver format, BlockNode node)
    {
        if (format != BlockdevDriver.Qcow2)
        {
            throw new QmpException($"Backing file not supported for file format '{format.ToWire()}'");
        }

        if (ImageFileName.Parse(arguments.SnapshotFile) is { Driver: BlockdevDriver.File, File.Filename: var path })
        {
            await CreateAsync(BlockdevDriver.File, new BlockdevCreateOptionsFile { Filename = path, Size = 0 });
        }

        await CreateAsync(BlockdevDriver.Qcow2, new BlockdevCreateOptionsQcow2
        {
            File = File(),
            Size = (ulong)((node.SizeBytes + SectorBytes - 1) & -SectorBytes),
            BackingFile = node.FileName,
            BackingFmt = BlockdevDriverWire.TryParse(node.DriverName, out BlockdevDriver backing) ? backing : null,
        });
    }

    private async ValueTask CreateAsync(BlockdevDriver driver, object options)
    {
        try
        {
            await ImageCreation.CreateAsync(Graph, new BlockdevCreateOptions { Driver = driver, Branch = options });
        }
        catch (BlockIoException e)
        {
            throw new QmpException($"Could not create '{arguments.SnapshotFile}': {e.Message}");
        }
    }

    private BlockdevRef File() => new()
    {
        Definition = ImageFileName.Parse(arguments.SnapshotFile),
    };

    /// <summary>The overlay takes over how its base is cached, whether discards reach the medium, and whether it may be written.</summary>
    private BlockdevOptions Definition(BlockdevDriver format, BlockNodeSettings likewise) => new()
    {
        Driver = format,
        NodeName = arguments.SnapshotNodeName,
        ReadOnly = likewise.ReadOnly,
        AutoReadOnly = likewise.AutoReadOnly,
        Cache = likewise.Cache,
        Discard = likewise.DiscardUnmap ? BlockdevDiscardOptions.Unmap : BlockdevDiscardOptions.Ignore,
        Branch = format switch
        {
            BlockdevDriver.Qcow2 => new BlockdevOptionsQcow2 { File = File(), Backing = new BlockdevRefOrNull { Null = default(QmpNull) } },
            BlockdevDriver.Raw => new BlockdevOptionsRaw { File = File() },
            _ => throw new QmpException("The overlay does not support backing images"),
        },
    };

    private async ValueTask ReleaseAsync()
    {
        using GraphChange change = await Graph.ChangeAsync();
        await Graph.ReleaseAsync(_overlay!);
    }
}
