using System.Globalization;
using System.Text.Json;

namespace Testing;

/// <summary>Reads a bitmap's dirty ranges from an NBD server by the real nbdinfo.</summary>
public static class DirtyMap
{
    /// <summary>The dirty ranges of a bitmap, in bytes, sorted, neighbours joined.</summary>
    public static List<(long Offset, long Length)> Read(string nbdPath, string export, string bitmap)
    {
        string json = Tool.Run("nbdinfo", $"--map=qemu:dirty-bitmap:{bitmap}", "--json", $"nbd+unix:///{export}?socket={nbdPath}");
        var ranges = new List<(long Offset, long Length)>();
        foreach (JsonElement extent in JsonDocument.Parse(json).RootElement.EnumerateArray())
        {
            if (extent.GetProperty("type").GetInt32() == 0)
            {
                continue;
            }

            long offset = extent.GetProperty("offset").GetInt64();
            long length = extent.GetProperty("length").GetInt64();
            if (ranges.Count > 0 && ranges[^1].Offset + ranges[^1].Length == offset)
            {
                ranges[^1] = (ranges[^1].Offset, ranges[^1].Length + length);
                continue;
            }

            ranges.Add((offset, length));
        }

        return ranges;
    }

    /// <summary>Asks the real qemu-storage-daemon for the bitmap of a closed image.</summary>
    public static async Task<List<(long Offset, long Length)>> ReadByQemuAsync(TemporaryDirectory directory, string image, string bitmap)
    {
        string socket = directory.File("oracle-nbd");
        await using DaemonProcess daemon = DaemonProcess.Start(
            "qemu-storage-daemon",
            directory,
            "--blockdev",
            string.Create(CultureInfo.InvariantCulture, $"driver=qcow2,node-name=o,read-only=on,file.driver=file,file.filename={image}"),
            "--nbd-server",
            $"addr.type=unix,addr.path={socket}",
            "--export",
            $"type=nbd,id=e,node-name=o,name=o,bitmaps.0={bitmap}");
        using (await daemon.ConnectSocketAsync(socket))
        {
        }

        List<(long, long)> ranges = Read(socket, "o", bitmap);
        daemon.Kill();
        File.Delete(socket);
        return ranges;
    }
}
