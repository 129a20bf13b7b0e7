using System.Text;
using Monitor.Block.Bitmaps;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Reads and writes the whole bitmap directory and holds the format's limits; refuses what QEMU refuses, in its words.</summary>
internal static class Qcow2BitmapDirectory
{
    /// <summary>Bitmaps in one image.</summary>
    internal const int MaxBitmaps = 65535;

    /// <summary>Bytes of the directory.</summary>
    internal const long MaxSize = MaxBitmaps * 1024L;

    /// <summary>Bytes of one bitmap's data.</summary>
    internal const long MaxBitmapDataBytes = 512L << 20;

    private const int MinGranularityBits = 9;
    private const int MaxGranularityBits = 31;

    /// <summary>Checks the header extension before anything it names is read.</summary>
    /// <exception cref="QmpException">It breaks the format or a limit.</exception>
    internal static void CheckExtension(Qcow2BitmapExtension extension, IQcow2BitmapHost host)
    {
        if (extension.Count == 0)
            throw new QmpException("found bitmaps extension with zero bitmaps");
        if (extension.Count > MaxBitmaps)
            throw new QmpException(
                $"bitmaps_ext: Image has {extension.Count} bitmaps, exceeding the QEMU supported maximum of {MaxBitmaps}");
        if (extension.DirectoryOffset % (ulong)host.ClusterSize != 0)
            throw new QmpException("bitmaps_ext: invalid bitmap directory offset");
        if (extension.DirectorySize > MaxSize)
            throw new QmpException(
                $"bitmaps_ext: bitmap directory size ({extension.DirectorySize}) exceeds the maximum supported size ({MaxSize})");
        if (extension.DirectorySize == 0)
            throw new QmpException("Requested bitmap directory size is zero");
        if (!IsInsideFile(host, extension.DirectoryOffset, (long)extension.DirectorySize))
            throw new QmpException("bitmaps_ext: invalid bitmap directory offset");
    }

    /// <summary>Reads all entries and checks each alone and their number; tables and data are not looked at.</summary>
    /// <exception cref="QmpException">The directory breaks the format or a limit.</exception>
    internal static List<Qcow2BitmapDirectoryEntry> Read(ReadOnlySpan<byte> directory, uint count, IQcow2BitmapHost host)
    {
        var entries = new List<Qcow2BitmapDirectoryEntry>();
        var names = new HashSet<string>();
        while (directory.Length > 0)
        {
            Qcow2BitmapDirectoryEntry entry = Qcow2BitmapDirectoryEntry.TryRead(directory)
                ?? throw new QmpException("Broken bitmap directory");
            if (entries.Count == count)
                throw new QmpException("More bitmaps found than specified in header extension");
            if (entry.ExtraDataSize != 0)
                throw new QmpException("Bitmap extra data is not supported");
            CheckEntry(entry, host);
            if (!names.Add(NameOf(entry)))
                throw new QmpException($"Bitmap already exists: {NameOf(entry)}");
            entries.Add(entry);
            directory = directory[(int)entry.Size..];
        }

        return entries.Count == count ? entries : throw new QmpException("Less bitmaps found than specified in header extension");
    }

    /// <summary>Writes entries one after the other.</summary>
    internal static byte[] Write(IReadOnlyCollection<Qcow2BitmapDirectoryEntry> entries)
    {
        byte[] directory = new byte[entries.Sum(entry => entry.Size)];
        int position = 0;
        foreach (Qcow2BitmapDirectoryEntry entry in entries)
        {
            entry.Write(directory.AsSpan(position));
            position += (int)entry.Size;
        }

        return directory;
    }

    /// <summary>An entry's name as text.</summary>
    internal static string NameOf(Qcow2BitmapDirectoryEntry entry) => Encoding.UTF8.GetString(entry.NameBytes);

    /// <summary>Table entries that a bitmap of this image needs.</summary>
    internal static long TableSizeFor(IQcow2BitmapHost host, uint granularity) =>
        (DataBytes(host, granularity) + host.ClusterSize - 1) / host.ClusterSize;

    /// <summary>Bytes of bitmap data of a bitmap of this image.</summary>
    internal static long DataBytes(IQcow2BitmapHost host, uint granularity) =>
        (HierarchicalBitmap.GranuleCount(host.VirtualSizeBytes, granularity) + 7) / 8;

    /// <summary>Whether a range is in the file, past the header, and touches no other metadata.</summary>
    internal static bool IsInsideFile(IQcow2BitmapHost host, ulong offset, long length)
    {
        ulong end = offset + (ulong)length;
        ulong clusterSize = (ulong)host.ClusterSize;
        ulong fileEnd = ((ulong)host.FileLengthBytes + clusterSize - 1) / clusterSize * clusterSize;
        return offset != 0 && end >= offset && end <= fileEnd && !host.OverlapsMetadata((long)offset, length);
    }

    private static void CheckEntry(Qcow2BitmapDirectoryEntry entry, IQcow2BitmapHost host)
    {
        bool fine = entry.TableSize != 0
            && entry.TableOffset != 0
            && entry.TableOffset % (ulong)host.ClusterSize == 0
            && entry.GranularityBits is >= MinGranularityBits and <= MaxGranularityBits
            && entry.NameBytes.Length <= NodeBitmaps.MaxNameBytes
            && (entry.Flags & ~Qcow2BitmapFlags.Known) == 0
            && entry.Type == Qcow2BitmapDirectoryEntry.DirtyTracking
            && (entry.TableSize - 1L) * host.ClusterSize < MaxBitmapDataBytes;
        if (!fine)
            throw new QmpException($"Bitmap '{NameOf(entry)}' doesn't satisfy the constraints");
        bool inUse = (entry.Flags & Qcow2BitmapFlags.InUse) != 0;
        if (!inUse && entry.TableSize != TableSizeFor(host, 1u << entry.GranularityBits))
            throw new QmpException($"Could not read bitmap '{NameOf(entry)}' from image: Invalid argument");
    }
}
