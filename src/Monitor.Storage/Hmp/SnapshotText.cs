using System.Globalization;
using System.Text;
using Monitor.Qapi;

namespace Monitor.Storage.Hmp;

/// <summary>How the human monitor prints internal snapshots: the table of <c>qemu-img snapshot -l</c>.</summary>
internal static class SnapshotText
{
    /// <summary>Prints the head of the table.</summary>
    public static void PrintHead(StringBuilder output) =>
        output.Append("ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT\n");

    /// <summary>Prints one line; the date is in the host's time zone.</summary>
    /// <param name="id">What is shown as its id.</param>
    /// <param name="snapshot">The snapshot.</param>
    /// <param name="output">Where to append.</param>
    public static void Print(string id, SnapshotInfo snapshot, StringBuilder output)
    {
        string date = DateTimeOffset.FromUnixTimeSeconds(snapshot.DateSec).LocalDateTime.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);
        var clock = TimeSpan.FromSeconds(snapshot.VmClockSec);
        string time = string.Create(
            CultureInfo.InvariantCulture, $"{(long)clock.TotalHours:00}:{clock.Minutes:00}:{clock.Seconds:00}.{snapshot.VmClockNsec / 1_000_000:000}");
        output.Append(CultureInfo.InvariantCulture, $"{id,-9} {snapshot.Name,-16} {ImageText.HumanSize(snapshot.VmStateSize),8}{date,20}{time,13}{snapshot.Icount,11}\n");
    }
}
