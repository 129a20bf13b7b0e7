using Monitor.Block;
using Monitor.Block.Drivers;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Storage.Images;

/// <summary>The image file that <c>drive-mirror</c> and <c>drive-backup</c> write to: created or found, then opened.</summary>
/// <remarks>
/// A new image gets the source's size and, where only a part is copied, a backing file: <c>sync: top</c> that of the source,
/// <c>sync: none</c> the source itself. While the job runs its backing node is the source's own, so both see the same bytes below.
/// </remarks>
/// <param name="graph">Gets the node.</param>
/// <param name="source">The node to be copied.</param>
/// <param name="sync">What is copied, as asked.</param>
internal sealed class TargetImage(BlockGraph graph, BlockNode source, MirrorSyncMode sync)
{
    private const long SectorBytes = 512;

    private BlockNode? _opened;

    /// <summary>The file's name.</summary>
    public required string FileName { get; init; }

    /// <summary>Its format; null for the source's if it is created, else what its first bytes show.</summary>
    public string? Format { get; init; }

    /// <summary>Whether it is created.</summary>
    public NewImageMode Mode { get; init; } = NewImageMode.AbsolutePaths;

    /// <summary>The node's name; null for a generated one.</summary>
    public string? NodeName { get; init; }

    /// <summary>What happens to writes of zeroes.</summary>
    public BlockdevDetectZeroesOptions DetectZeroes { get; init; }

    /// <summary>Whether the source itself is the backing node of <c>sync: none</c> already while the job runs.</summary>
    public bool ReadsThroughSource { get; init; }

    /// <summary>What is copied: everything, where <c>top</c> was asked and there is only one layer.</summary>
    public MirrorSyncMode Sync => sync == MirrorSyncMode.Top && SourceBacking is null ? MirrorSyncMode.Full : sync;

    /// <summary>Whether it reads as zeroes because it was just created.</summary>
    public bool IsZero => Mode != NewImageMode.Existing && Sync == MirrorSyncMode.Full;

    private BlockNode? SourceBacking => source.SkipFilters().Backing?.Node;

    private BlockNode? Below => Sync switch
    {
        MirrorSyncMode.Top => SourceBacking,
        MirrorSyncMode.None => source,
        _ => null,
    };

    /// <summary>Creates the image if asked, and opens it. A turn; resumes as turns.</summary>
    /// <exception cref="QmpException">The format is unknown, or the file cannot be created or opened.</exception>
    public async ValueTask<BlockNode> OpenAsync()
    {
        BlockdevDriver driver = Mode == NewImageMode.Existing ? await FindFormatAsync() : await CreateAsync();
        return _opened = await BlockOpener.OpenAsync(graph, Definition(driver), monitorOwned: false);
    }

    /// <summary>Closes the node again if nobody took it.</summary>
    public async ValueTask ReleaseAsync()
    {
        if (_opened is not null)
        {
            using GraphChange change = await graph.ChangeAsync();
            await graph.ReleaseAsync(_opened);
        }
    }

    private static BlockdevRef FileRef(string fileName) => new()
    {
        Definition = ImageFileName.Parse(fileName),
    };

    private async ValueTask<BlockdevDriver> FindFormatAsync()
    {
        if (Format is null)
        {
            // What is no file of this host is not looked into: its first bytes are its guest's.
            return ImageFileName.Parse(FileName).Branch is BlockdevOptionsFile file
                ? await BlockThreads.RunAsync(() => ImageProbe.Probe(file.Filename))
                : BlockdevDriver.Raw;
        }

        return BlockdevDriverWire.TryParse(Format, out BlockdevDriver driver) ? driver : throw new QmpException($"Unknown driver '{Format}'");
    }

    private async ValueTask<BlockdevDriver> CreateAsync()
    {
        string format = Format ?? source.SkipFilters().DriverName;
        if (!BlockdevDriverWire.TryParse(format, out BlockdevDriver driver))
        {
            throw new QmpException($"Unknown file format '{format}'");
        }

        if (driver != BlockdevDriver.Raw && !ImageCreation.Supports(driver))
        {
            throw new QmpException($"Format driver '{format}' does not support image creation");
        }

        if (ImageFileName.Parse(FileName) is not { Driver: BlockdevDriver.File, File.Filename: var path })
        {
            throw new QmpException(FileName.StartsWith("json:", StringComparison.Ordinal)
                ? "Unknown protocol 'json'"
                : $"'{FileName}' is no file that could be created; use an existing one");
        }

        ulong size = (ulong)((source.SizeBytes + SectorBytes - 1) & -SectorBytes);
        bool isFormat = driver == BlockdevDriver.Qcow2;
        await CreateAsync(BlockdevDriver.File, new BlockdevCreateOptionsFile { Filename = path, Size = isFormat ? 0 : size });
        if (isFormat)
        {
            await CreateAsync(BlockdevDriver.Qcow2, Qcow2Options(size));
        }

        return driver;
    }

    private Task CreateAsync(BlockdevDriver driver, object options) =>
        ImageCreation.CreateAsync(graph, new BlockdevCreateOptions { Driver = driver, Branch = options });

    private BlockdevCreateOptionsQcow2 Qcow2Options(ulong size) => new()
    {
        File = FileRef(FileName),
        Size = size,
        BackingFile = Below?.FileName,
        BackingFmt = Below is { } below && BlockdevDriverWire.TryParse(below.SkipFilters().DriverName, out BlockdevDriver format) ? format : null,
    };

    private BlockdevOptions Definition(BlockdevDriver driver) => new()
    {
        Driver = driver,
        NodeName = NodeName,
        Cache = source.Settings.Cache,
        Discard = BlockdevDiscardOptions.Unmap,
        DetectZeroes = DetectZeroes,
        ReadOnly = false,
        Branch = driver switch
        {
            BlockdevDriver.File or BlockdevDriver.Nbd => ImageFileName.Parse(FileName).Branch!,
            BlockdevDriver.Qcow2 => new BlockdevOptionsQcow2 { File = FileRef(FileName), Backing = Backing() },
            BlockdevDriver.Raw => new BlockdevOptionsRaw { File = FileRef(FileName) },
            _ => throw new QmpException($"Driver '{driver.ToWire()}' has no file to write to"),
        },
    };

    private BlockdevRefOrNull? Backing() => Sync switch
    {
        MirrorSyncMode.Top when Mode != NewImageMode.Existing => new BlockdevRefOrNull { Reference = SourceBacking!.NodeName },
        MirrorSyncMode.None when ReadsThroughSource => new BlockdevRefOrNull { Reference = source.NodeName },
        MirrorSyncMode.Top => null,
        _ => new BlockdevRefOrNull { Null = default(QmpNull) },
    };
}
