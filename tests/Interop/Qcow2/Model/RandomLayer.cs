using Monitor.Block;
using Monitor.Block.Drivers.File;
using Monitor.Qapi;

namespace Interop.Qcow2.Model;

/// <summary>An image of random features, made by us or by <c>qemu-img</c>, on top of another or alone.</summary>
internal sealed class RandomLayer
{
    private readonly Random _random;
    private readonly RandomLayer? _below;

    /// <summary>Chooses its features.</summary>
    public RandomLayer(string path, Random random, RandomLayer? below)
    {
        (_random, _below, Path) = (random, below, path);
        IsRaw = below is null && random.Next(3) == 0;
        Options = Choose();
    }

    public string Path { get; }

    /// <summary>Whether it is a raw file; only the lowest may be.</summary>
    public bool IsRaw { get; }

    public bool HasDataFile { get; private set; }

    public string DataPath => Path + ".data";

    public BlockdevCreateOptionsQcow2 Options { get; }

    public int ClusterBytes => (int)Options.ClusterSize!.Value;

    /// <inheritdoc/>
    public override string ToString() => (IsRaw ? $"raw of {Options.Size}" : $"qcow2 of {Options.Size}: {FormatOptions()}") + (_below is null ? "" : $" on {_below}");

    /// <summary>Makes it on disk.</summary>
    /// <param name="byThem">Whether <c>qemu-img</c> makes it; by default that is left to chance.</param>
    public async Task CreateAsync(bool? byThem = null)
    {
        if (IsRaw)
        {
            await using FileStream file = File.Create(Path);
            file.SetLength((long)Options.Size);
            return;
        }

        if (HasDataFile)
        {
            await File.WriteAllBytesAsync(DataPath, []);
        }

        if (byThem ?? _random.Next(2) == 0)
        {
            string[] backing = _below is null ? [] : ["-b", _below.Path, "-F", _below.IsRaw ? "raw" : "qcow2"];
            await QemuTool.RunAsync("qemu-img", ["create", "-q", "-f", "qcow2", "-o", FormatOptions(), .. backing, Path, $"{Options.Size}"]);
            return;
        }

        FileNode? data = HasDataFile ? await ImageFiles.OpenFileAsync(DataPath) : null;
        await ImageFiles.CreateAsync(Path, Options, data);
        await (data?.CloseAsync() ?? default);
    }

    /// <summary>Opens it, its data file and everything below it.</summary>
    /// <param name="opened">Gets what must be closed, in the order of opening.</param>
    /// <param name="lateSeed">Its file answers late, at random; null for at once, and read-only.</param>
    /// <param name="options">Options of the driver.</param>
    public async Task<BlockNode> OpenAsync(List<BlockNode> opened, int? lateSeed = null, BlockdevOptionsQcow2? options = null)
    {
        bool readOnly = lateSeed is null;
        BlockNode? below = _below is null ? null : await _below.OpenAsync(opened);
        BlockNode file = await ImageFiles.OpenFileAsync(Path, readOnly);
        opened.Add(file);
        if (IsRaw)
        {
            return file;
        }

        BlockNode? data = HasDataFile ? await ImageFiles.OpenFileAsync(DataPath, readOnly) : null;
        if (lateSeed is { } seed)
        {
            file = new LateNode(file, seed);
            await file.OpenAsync();
        }

        if (data is not null)
        {
            opened.Add(data);
        }

        BlockNode node = await ImageFiles.OpenOnAsync(file, options, below, readOnly, data);
        opened.Add(node);
        return node;
    }

    private BlockdevCreateOptionsQcow2 Choose()
    {
        bool isOld = _random.Next(6) == 0;
        bool extended = !isOld && _random.Next(3) == 0;
        int clusterBytes = extended ? 16384 << _random.Next(4) : 512 << (_random.Next(4) == 0 ? _random.Next(13) : _random.Next(8));
        long clusters = Math.Clamp((6 << 20) / clusterBytes, 3, _random.Next(30, 300));
        bool mayPreallocate = _below is null || extended;
        HasDataFile = !isOld && _random.Next(5) == 0;
        return new BlockdevCreateOptionsQcow2
        {
            File = null!,
            Size = (ulong)((clusterBytes * clusters) - (_random.Next(2) * 512)),
            Version = isOld ? BlockdevQcow2Version.V2 : BlockdevQcow2Version.V3,
            ClusterSize = (ulong)clusterBytes,
            RefcountBits = isOld ? 16 : 1 << (_random.Next(2) == 0 ? 4 : _random.Next(7)),
            LazyRefcounts = !isOld && _random.Next(4) == 0,
            ExtendedL2 = extended,
            Preallocation = !mayPreallocate || _random.Next(3) != 0 ? PreallocMode.Off : (PreallocMode)_random.Next(4),
            CompressionType = isOld || _random.Next(2) == 0 ? Qcow2CompressionType.Zlib : Qcow2CompressionType.Zstd,
            DataFileRaw = HasDataFile && _below is null && _random.Next(2) == 0 ? true : null,
            BackingFile = _below?.Path,
            BackingFmt = _below is null ? null : _below.IsRaw ? BlockdevDriver.Raw : BlockdevDriver.Qcow2,
        };
    }

    private string FormatOptions()
    {
        string options = $"compat={(Options.Version == BlockdevQcow2Version.V2 ? "0.10" : "1.1")},cluster_size={Options.ClusterSize},refcount_bits={Options.RefcountBits},"
            + $"lazy_refcounts={OnOff(Options.LazyRefcounts)},extended_l2={OnOff(Options.ExtendedL2)},preallocation={Options.Preallocation!.Value.ToWire()},"
            + $"compression_type={Options.CompressionType!.Value.ToWire()}";
        return options + (HasDataFile ? $",data_file={DataPath},data_file_raw={OnOff(Options.DataFileRaw)}" : "");
    }

    private static string OnOff(bool? value) => value == true ? "on" : "off";
}
