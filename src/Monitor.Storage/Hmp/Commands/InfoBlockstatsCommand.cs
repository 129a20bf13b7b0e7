using System.Text;
using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>info blockstats</c>: what was asked of each drive.</summary>
internal sealed class InfoBlockstatsCommand(BlockNodeCommands blockNodes) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "blockstats";

    /// <inheritdoc/>
    public override string Help => "how much was read from and written to each drive";

    /// <inheritdoc/>
    public override async ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        foreach (BlockStats drive in await blockNodes.QueryBlockstatsAsync(new QueryBlockstatsArguments()))
        {
            BlockDeviceStats stats = drive.Stats;
            output.Append($"{drive.Device}: rd_bytes={stats.RdBytes} wr_bytes={stats.WrBytes}");
            output.Append($" rd_operations={stats.RdOperations} wr_operations={stats.WrOperations} flush_operations={stats.FlushOperations}");
            output.Append($" wr_total_time_ns={stats.WrTotalTimeNs} rd_total_time_ns={stats.RdTotalTimeNs} flush_total_time_ns={stats.FlushTotalTimeNs}");
            output.Append($" rd_merged={stats.RdMerged} wr_merged={stats.WrMerged} idle_time_ns={stats.IdleTimeNs ?? 0}\n");
        }
    }
}
