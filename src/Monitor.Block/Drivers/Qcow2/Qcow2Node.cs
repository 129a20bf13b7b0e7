using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>A qcow2 image (qcow2 spec): clusters made when first written, backing files, bitmaps in the image.</summary>
/// <remarks>
/// <see cref="FormatNode"/> moves the bytes; this class says where they live and makes room. Look-ups of cached tables and the transfers
/// take no lock; everything else happens under the one allocation lock of <see cref="ImageMetadata"/>.
/// </remarks>
public sealed partial class Qcow2Node : FormatNode
{
    private readonly BlockdevOptionsQcow2? _options;
    private readonly IEventSink _events;
    private readonly List<GuestClusterClaim> _inFlight = [];
    private ImageMetadata _image = null!;
    private BlockChild _file = null!;
    private Qcow2Bitmaps _storedBitmaps = null!;
    private int _clusterBits;

    /// <summary>Makes a node that has not read its header.</summary>
    /// <param name="settings">The options every node has.</param>
    /// <param name="options">The driver's options; null for the defaults.</param>
    /// <param name="events">Where damage is announced.</param>
    public Qcow2Node(BlockNodeSettings settings, BlockdevOptionsQcow2? options, IEventSink events)
        : base(settings)
    {
        _options = options;
        _events = events;
    }

    /// <inheritdoc/>
    public override string DriverName => "qcow2";

    /// <inheritdoc/>
    public override int ClusterSizeBytes => 1 << _clusterBits;

    /// <summary>The header's version, 2 or 3. Known once open.</summary>
    public int Version => (int)Header.Version;

    /// <inheritdoc/>
    public override BackingImage? BackingFromImage =>
        _image?.Header.BackingFile is { } name ? new BackingImage(name, _image.Header.BackingFormat) : null;

    private Qcow2Header Header => _image.Header.Header;

    /// <inheritdoc/>
    public override async ValueTask OpenAsync()
    {
        _file = FindChild(BlockChildRole.Primary)!;
        Qcow2OpenImage image = await Qcow2OpenImage.ReadAsync(new ImageFile(_file), IsReadOnly).ConfigureAwait(false);
        Qcow2Header header = image.Header.Header;
        if (_options?.LazyRefcounts == true && header.Version < 3)
        {
            throw new QmpException("Lazy refcounts require a qcow2 image with at least qemu 1.1 compatibility level");
        }

        Qcow2CacheSizes sizes = Qcow2CacheSizes.From(_options, header);
        _clusterBits = (int)header.ClusterBits;
        _image = new ImageMetadata(this, image, sizes, Requests, PassesDiscards(_options), _events);
        SetSize((long)header.SizeBytes);
        if (!IsReadOnly)
        {
            await ClearUnknownAutoclearAsync().ConfigureAwait(false);
        }

        _storedBitmaps = new Qcow2Bitmaps(this, Bitmaps);
        Bitmaps.Store = _storedBitmaps;
        await _storedBitmaps.LoadAsync().ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override async ValueTask CloseAsync()
    {
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
        ExtendedL2 = Version >= 3 ? false : null,
        RefcountBits = 1L << (int)Header.RefcountOrder,
        Bitmaps = DescribeBitmaps(),
    };

    /// <inheritdoc/>
    protected override ValueTask DoFlushAsync() => _image.FlushGuestAsync();

    /// <inheritdoc/>
    protected override async ValueTask DoTruncateAsync(long sizeBytes)
    {
        if (sizeBytes % Qcow2Format.SectorBytes != 0)
        {
            throw new BlockIoException(Errno.EINVAL, "The new size must be a multiple of 512");
        }

        if (Version < 3 && _image.Snapshots.Count > 0)
        {
            throw new BlockIoException(Errno.ENOTSUP, "Can't resize a v2 image which has snapshots");
        }

        _storedBitmaps.CheckResizable();
        long before = SizeBytes;
        if (sizeBytes < before)
        {
            await ShrinkAsync(sizeBytes).ConfigureAwait(false);
            return;
        }

        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            _image.ThrowIfCorrupt();
            await _image.Map.GrowAsync(EntriesFor(sizeBytes)).ConfigureAwait(false);
        }
        finally
        {
            _image.Lock.Release();
        }

        SetSize(sizeBytes);
        try
        {
            await ZeroGrownAsync(before, sizeBytes).ConfigureAwait(false);
            await DoFlushAsync().ConfigureAwait(false);
            Header.SizeBytes = (ulong)sizeBytes;
            await _image.Header.SwitchAsync(_image.File).ConfigureAwait(false);
        }
        catch
        {
            SetSize(before);
            throw;
        }
    }

    /// <summary>Gives back what lies behind the new end; its tables stay, for they are small and a later growth needs them.</summary>
    private async ValueTask ShrinkAsync(long sizeBytes)
    {
        long end = (sizeBytes + ClusterSizeBytes - 1) >> _clusterBits << _clusterBits;
        if (end < SizeBytes)
        {
            await DoDiscardAsync(end, SizeBytes - end).ConfigureAwait(false);
        }

        await DoFlushAsync().ConfigureAwait(false);
        Header.SizeBytes = (ulong)sizeBytes;
        await _image.Header.SwitchAsync(_image.File).ConfigureAwait(false);
    }

    /// <summary>What a longer disk shows behind its old end must be zeroes: neither a longer backing file nor the rest of the last cluster.</summary>
    private async ValueTask ZeroGrownAsync(long before, long after)
    {
        long clusterEnd = (before + ClusterSizeBytes - 1) >> _clusterBits << _clusterBits;
        long end = Math.Min(after, Math.Max(clusterEnd, Backing?.Node.SizeBytes ?? 0));
        if (end > before)
        {
            await DoWriteZeroesAsync(before, end - before, BlockWriteFlags.None).ConfigureAwait(false);
        }
    }

    private bool PassesDiscards(BlockdevOptionsQcow2? options) => options?.PassDiscardRequest ?? Settings.DiscardUnmap;

    private long EntriesFor(long sizeBytes)
    {
        int tableShift = (2 * _clusterBits) - 3;
        return (sizeBytes >> tableShift) + ((sizeBytes & ((1L << tableShift) - 1)) != 0 ? 1 : 0);
    }

    private async ValueTask ClearUnknownAutoclearAsync()
    {
        if ((Header.Autoclear & ~Qcow2AutoclearFeatures.Bitmaps) != 0)
        {
            Header.Autoclear &= Qcow2AutoclearFeatures.Bitmaps;
            await _image.Header.WriteAsync(_image.File).ConfigureAwait(false);
            await _image.File.FlushAsync().ConfigureAwait(false);
        }
    }
}
