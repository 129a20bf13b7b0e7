using Monitor.Block;
using Monitor.Storage.Drives;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary>Requests of qemu-io on a drive: its limits hold, its error policies do not; only <c>aio_</c> commands are counted.</summary>
/// <param name="drive">The drive.</param>
/// <param name="isCounted">Whether its figures count them.</param>
internal sealed class QemuIoPolicy(Drive drive, bool isCounted) : IRequestPolicy
{
    private readonly IRequestPolicy _drive = drive;

    /// <inheritdoc/>
    public bool WritesThrough => _drive.WritesThrough;

    /// <inheritdoc/>
    public ValueTask AdmitAsync(BlockRequestKind kind, long bytes) => _drive.AdmitAsync(kind, bytes);

    /// <inheritdoc/>
    public void CountDone(BlockRequestKind kind, long bytes, long started)
    {
        if (isCounted)
        {
            _drive.CountDone(kind, bytes, started);
        }
    }

    /// <inheritdoc/>
    public void CountFailed(BlockRequestKind kind, long started)
    {
        if (isCounted)
        {
            _drive.CountFailed(kind, started);
        }
    }

    /// <inheritdoc/>
    /// <remarks>Here invalid is only what is said to be (<c>-i</c>); a request behind the end has failed.</remarks>
    public void CountInvalid(BlockRequestKind kind) => CountFailed(kind, BlockStatistics.Now);

    /// <inheritdoc/>
    public ValueTask<FailedRequestFate> DecideAsync(BlockRequestKind kind, BlockIoException error) => new(FailedRequestFate.Report);
}
