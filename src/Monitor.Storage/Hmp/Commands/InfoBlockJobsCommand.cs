using System.Text;
using Monitor.Jobs;
using Monitor.Qapi;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>info block-jobs</c>: the block jobs.</summary>
internal sealed class InfoBlockJobsCommand(JobManager jobs) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "block-jobs";

    /// <inheritdoc/>
    public override string Help => "the block jobs and how far they are";

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        IReadOnlyList<BlockJobInfo> all = jobs.QueryBlockJobs();
        output.Append(all.Count == 0 ? "No active jobs\n" : "");
        foreach (BlockJobInfo job in all)
        {
            string kind = job.Type;
            output.Append(kind == "stream" ? $"Streaming device {job.Device}" : $"Type {kind}, device {job.Device}");
            output.Append($": Completed {job.Offset} of {job.Len} bytes, speed limit {job.Speed} bytes/s\n");
        }

        return default;
    }
}
