using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>A qcow2 image (qcow2 spec): clusters made when first written, backing files, bitmaps in the image.</summary>
/// <remarks>
/// <see cref="FormatNode"/> moves the bytes; this class says where they live and makes room. Look-ups of cached tables and the transfers
/// take no lock; everything else happens under the one allocation lock of <see cref="ImageMetadata"/>.
/// </remarks>
public sealed partial class Qcow2Node : FormatNode
{
    private const int DefaultCleanSeconds = 600;

    private readonly BlockdevOptionsQcow2? _options;
    private readonly IEventSink _events;
    private readonly TimeProvider _time;
    private CacheCleaner? _cleaner;
    private readonly List<GuestClusterClaim> _inFlight = [];
    private ImageMetadata _image = null!;
    private BlockChild _file = null!;
    private BlockChild _data = null!;
    private Qcow2Bitmaps _storedBitmaps = null!;
    private int _clusterBits;

    /// <summary>Makes a node that has not read its header.</summary>
    /// <param name="settings">The options every node has.</param>
    /// <param name="options">The driver's options; null for the defaults.</param>
    /// <param name="events">Where damage is announced.</param>
    /// <param name="time">The clock; the system's by default.</param>
    public Qcow2Node(BlockNodeSettings settings, BlockdevOptionsQcow2? options, IEventSink events, TimeProvider? time = null)
        : base(settings)
    {
        _options = options;
        _events = events;
        _time = time ?? TimeProvider.System;
    }

    /// <summary>Bytes of L2 tables and refcount blocks in memory now.</summary>
    public long CachedBytes => _image.Map.CachedBytes + _image.Refcounts.CachedBytes;

    /// <inheritdoc/>
    public override string DriverName => "qcow2";

    /// <inheritdoc/>
    public override int ClusterSizeBytes => 1 << _clusterBits;

    /// <summary>The header's version, 2 or 3. Known once open.</summary>
    public int Version => (int)Header.Version;

    /// <inheritdoc/>
    public override BackingImage? BackingFromImage =>
        _image?.Header.BackingFile is { } name ? new BackingImage(name, _image.Header.BackingFormat) : null;

    /// <inheritdoc/>
    public override string? DataFileFromImage =>
        Layout.HasDataFile ? NamedDataFile ?? "" : null;

    /// <summary>Whether the image says that its refcounts are not to be trusted: a writable open repairs them.</summary>
    public bool IsMarkedDirty => (Header.Incompatible & Qcow2IncompatibleFeatures.Dirty) != 0;

    /// <inheritdoc/>
    protected override int UnitSizeBytes => 1 << Layout.UnitBits;

    private Qcow2Header Header => _image.Header.Header;

    private L2Layout Layout => _image.Layout;

    private string? NamedDataFile => _image.Header.Find(Qcow2HeaderExtension.DataFile) is { } name ? Qcow2Format.Text(name) : null;

    private bool IsDataFileRaw => (Header.Autoclear & Qcow2AutoclearFeatures.RawExternalData) != 0;

    /// <inheritdoc/>
    public override async ValueTask OpenAsync()
    {
        _file = FindChild(BlockChildRole.Primary)!;
        _storedBitmaps = new Qcow2Bitmaps(this, Bitmaps);
        Bitmaps.Store = _storedBitmaps;
        await ReadImageAsync().ConfigureAwait(false);
        await LoadBitmapsAsync().ConfigureAwait(false);
        StartCleaner();
    }

    /// <summary>Cleans the caches of the tables that were read. Last: a timer would keep an image alive whose open is refused.</summary>
    private void StartCleaner()
    {
        _cleaner?.Stop();
        _cleaner = new CacheCleaner(_image, CleanInterval(_options), _time);
    }

    /// <summary>Reads header and tables, at open and whenever another process may have changed them.</summary>
    private async ValueTask ReadImageAsync()
    {
        Qcow2OpenImage image = await Qcow2OpenImage.ReadAsync(new ImageFile(_file), IsReadOnly).ConfigureAwait(false);
        Qcow2Header header = image.Header.Header;
        long size = (long)header.SizeBytes & -Qcow2Format.SectorBytes;
        if (_options?.XSnapshot is { } snapshot)
        {
            (image, size) = await ShowSnapshotAsync(image, snapshot).ConfigureAwait(false);
        }

        RefuseWhatVersion2Lacks(_options, header);
        Qcow2CacheSizes sizes = Qcow2CacheSizes.From(_options, header);
        _clusterBits = (int)header.ClusterBits;
        _image?.Supersede();
        _image = new ImageMetadata(
            this,
            image,
            sizes,
            Qcow2OverlapSelection.From(_options?.OverlapCheck),
            Requests,
            Qcow2DiscardPolicy.From(_options, Settings.DiscardUnmap),
            _events);
        await _image.NoteInactiveL2Async().ConfigureAwait(false);
        SetSize(size);
        AdoptDataFile();
        if (!IsReadOnly)
        {
            await ClearUnknownAutoclearAsync().ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    protected internal override void AdoptDataFile()
    {
        _data = Children.FirstOrDefault(child => child.Name == DataFileChild) ?? _file;
        _image.File.Data = _data == _file ? null : _data;
        if (Layout.HasDataFile)
        {
            _file.Role = BlockChildRole.Metadata | BlockChildRole.Primary;
        }
    }

    /// <inheritdoc/>
    public override async ValueTask CloseAsync()
    {
        _cleaner?.Stop();
        if (!IsReadOnly)
        {
            await StoreBitmapsAsync().ConfigureAwait(false);
            await _image.CloseAsync(NodeName).ConfigureAwait(false);
        }
    }

    /// <summary>What the queries say of the image beyond what every image has.</summary>
    public ImageInfoSpecificQCow2 DescribeFormat() => new()
    {
        Compat = Version >= 3 ? "1.1" : "0.10",
        CompressionType = Header.CompressionType == 0 ? Qcow2CompressionType.Zlib : Qcow2CompressionType.Zstd,
        LazyRefcounts = Version >= 3 ? (Header.Compatible & Qcow2CompatibleFeatures.LazyRefcounts) != 0 : null,
        Corrupt = Version >= 3 ? (Header.Incompatible & Qcow2IncompatibleFeatures.Corrupt) != 0 : null,
        DataFile = NamedDataFile,
        DataFileRaw = Layout.HasDataFile ? IsDataFileRaw : null,
        ExtendedL2 = Version >= 3 ? Layout.IsExtended : null,
        RefcountBits = 1L << (int)Header.RefcountOrder,
        Bitmaps = DescribeBitmaps(),
    };

    /// <inheritdoc/>
    protected override ValueTask DoFlushAsync() => _image.FlushGuestAsync();

    private static TimeSpan CleanInterval(BlockdevOptionsQcow2? options) => TimeSpan.FromSeconds(options?.CacheCleanInterval ?? DefaultCleanSeconds);

    private static void RefuseWhatVersion2Lacks(BlockdevOptionsQcow2? options, Qcow2Header header)
    {
        if (options?.LazyRefcounts == true && header.Version < 3)
        {
            throw new QmpException("Lazy refcounts require a qcow2 image with at least qemu 1.1 compatibility level");
        }

        if (options?.DiscardNoUnref == true && header.Version < 3)
        {
            throw new QmpException("discard-no-unref is only supported since qcow2 version 3");
        }
    }

    private async ValueTask ClearUnknownAutoclearAsync()
    {
        const Qcow2AutoclearFeatures Known = Qcow2AutoclearFeatures.Bitmaps | Qcow2AutoclearFeatures.RawExternalData;
        if ((Header.Autoclear & ~Known) != 0)
        {
            Header.Autoclear &= Known;
            await _image.Header.WriteAsync(_image.File).ConfigureAwait(false);
            await _image.File.FlushAsync().ConfigureAwait(false);
        }
    }
}
