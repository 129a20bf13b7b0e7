using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;

namespace Unit.Qcow2;

/// <summary>An image, its data file and what is below it, on storages that lose power together.</summary>
internal sealed class CrashImage
{
    private readonly BlockdevCreateOptionsQcow2 _options;
    private readonly StorageContent? _below;
    private readonly StorageNode _file;
    private readonly StorageNode? _data;

    private CrashImage(BlockdevCreateOptionsQcow2 options, StorageContent? below, StorageContent file, StorageContent? data)
    {
        (_options, _below) = (options, below);
        _file = new StorageNode(file) { Power = Power };
        _data = data is null ? null : new StorageNode(data) { Power = Power };
    }

    public PowerSupply Power { get; } = new();

    public int SizeBytes => (int)_options.Size;

    public bool HasSnapshots => _data is null && _options.RefcountBits != 1;

    public bool HasBitmaps => _options.Version != BlockdevQcow2Version.V2;

    /// <summary>Whether the data file shows the disk.</summary>
    public bool IsRaw => _options.DataFileRaw == true;

    public byte[] Bytes => _file.Bytes;

    public byte[] DataBytes => _data!.Bytes;

    /// <summary>Makes an empty one, over a backing file half its size or none.</summary>
    public static async Task<CrashImage> CreateAsync(BlockdevCreateOptionsQcow2 options, bool hasBacking, bool hasDataFile)
    {
        byte[] below = new byte[(int)options.Size / 2];
        new Random(1).NextBytes(below);
        StorageNode? data = hasDataFile ? new StorageNode() : null;
        StorageContent file = await TestImage.CreateAsync(options, data);
        return new CrashImage(options, hasBacking ? StorageContent.From(below) : null, file, data?.Content);
    }

    /// <summary>Another like it, whose power fails elsewhere.</summary>
    public CrashImage Clone() => new(_options, _below, _file.Content.Clone(), _data?.Content.Clone());

    /// <summary>What is left when the power has failed.</summary>
    public CrashImage AfterPowerFailure(Random random) =>
        new(_options, _below, _file.AfterPowerFailure(random), _data?.AfterPowerFailure(random));

    /// <summary>What shows through, and zeroes behind it.</summary>
    public byte[] Below(int bytes)
    {
        byte[] below = new byte[bytes];
        _below?.Read(0, below.AsSpan(0, (int)Math.Min(bytes, _below.Length)));
        return below;
    }

    /// <summary>What a discarded range reads as: a version 2 image cannot say that a cluster is zero.</summary>
    public byte[] Discarded(int offset, int length) => _options.Version == BlockdevQcow2Version.V2 ? Below(offset + length)[offset..] : new byte[length];

    /// <summary>Opens it with caches of one slice and one block; or, read-only, one of its snapshots.</summary>
    public Task<Qcow2Node> OpenAsync(string? snapshot = null)
    {
        var options = new BlockdevOptionsQcow2 { File = null!, L2CacheSize = 1024, RefcountCacheSize = 1, XSnapshot = snapshot };
        StorageNode? backing = _below is null ? null : new StorageNode(_below, readOnly: true);
        return TestImage.OpenAsync(_file, backing, options, readOnly: snapshot is not null, dataFile: _data);
    }
}
