using System.Text;
using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>block_set_io_throttle</c>: limits the rate of a drive's requests.</summary>
internal sealed class BlockSetIoThrottleCommand(BlockCommands blocks) : HmpCommand
{
    private static readonly string[] s_limits = ["bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"];

    /// <inheritdoc/>
    public override string Name => "block_set_io_throttle";

    /// <inheritdoc/>
    public override string Help => "limit bytes and requests per second of a drive; zeroes end that";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters =>
    [
        new("device", HmpParameterKind.Device),
        .. s_limits.Select(name => new HmpParameter(name, HmpParameterKind.Number)),
    ];

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output) => blocks.BlockSetIoThrottleAsync(new BlockIOThrottle
    {
        Device = arguments["device"],
        Bps = arguments.Number("bps"),
        BpsRd = arguments.Number("bps_rd"),
        BpsWr = arguments.Number("bps_wr"),
        Iops = arguments.Number("iops"),
        IopsRd = arguments.Number("iops_rd"),
        IopsWr = arguments.Number("iops_wr"),
    });
}
