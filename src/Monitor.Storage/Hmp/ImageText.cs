using System.Globalization;
using System.Text;
using Monitor.Qapi;

namespace Monitor.Storage.Hmp;

/// <summary>How the human monitor prints an image: the lines of <c>qemu-img info</c>.</summary>
internal static class ImageText
{
    private static readonly string[] s_units = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

    /// <summary>Prints an image, those below it not.</summary>
    public static void Print(ImageInfo image, StringBuilder output)
    {
        output.Append($"image: {image.Filename}\nfile format: {image.Format}\n");
        output.Append($"virtual size: {HumanSize(image.VirtualSize)} ({image.VirtualSize} bytes)\n");
        output.Append($"disk size: {(image.ActualSize is { } size ? HumanSize(size) : "unavailable")}\n");
        output.Append(image.Encrypted == true ? "encrypted: yes\n" : "");
        output.Append(image.ClusterSize is { } cluster ? $"cluster_size: {cluster}\n" : "");
        output.Append(image.DirtyFlag == true ? "cleanly shut down: no\n" : "");
        if (image.BackingFilename is { } backing)
        {
            string? full = image.FullBackingFilename;
            output.Append($"backing file: {backing}{(full is null || full == backing ? "" : $" (actual path: {full})")}\n");
            output.Append(image.BackingFilenameFormat is { } format ? $"backing file format: {format}\n" : "");
        }

        if (image.Snapshots is { } snapshots)
        {
            output.Append("Snapshot list:\n");
            SnapshotText.PrintHead(output);
            foreach (SnapshotInfo snapshot in snapshots)
            {
                SnapshotText.Print(snapshot.Id, snapshot, output);
            }
        }

        if (image.FormatSpecific is { Type: ImageInfoSpecificKind.Qcow2 } specific)
        {
            output.Append("Format specific information:\n");
            PrintQcow2(specific.Qcow2.Data, output);
        }
    }

    /// <summary>Prints what is particular to a qcow2 image, indented.</summary>
    public static void PrintQcow2(ImageInfoSpecificQCow2 image, StringBuilder output)
    {
        output.Append($"    compat: {image.Compat}\n    compression type: {image.CompressionType.ToWire()}\n");
        PrintFlag("lazy refcounts", image.LazyRefcounts, output);
        if (image.Bitmaps is { } bitmaps)
        {
            output.Append("    bitmaps:\n");
            for (int i = 0; i < bitmaps.Count; i++)
            {
                PrintBitmap(i, bitmaps[i], output);
            }
        }

        output.Append($"    refcount bits: {image.RefcountBits}\n");
        PrintFlag("corrupt", image.Corrupt, output);
        PrintFlag("extended l2", image.ExtendedL2, output);
    }

    private static void PrintBitmap(int index, Qcow2BitmapInfo bitmap, StringBuilder output)
    {
        output.Append($"        [{index}]:\n            flags:\n");
        for (int i = 0; i < bitmap.Flags.Count; i++)
        {
            output.Append($"                [{i}]: {bitmap.Flags[i].ToWire()}\n");
        }

        output.Append($"            name: {bitmap.Name}\n            granularity: {bitmap.Granularity}\n");
    }

    private static void PrintFlag(string name, bool? value, StringBuilder output) =>
        output.Append(value is { } flag ? $"    {name}: {(flag ? "true" : "false")}\n" : "");

    /// <summary>Three significant digits in the unit that keeps the number below 1000.</summary>
    internal static string HumanSize(long bytes)
    {
        double value = bytes;
        int unit = 0;
        for (; value >= 1000; unit++)
        {
            value /= 1024;
        }

        return $"{value.ToString("G3", CultureInfo.InvariantCulture)} {s_units[unit]}B";
    }
}
