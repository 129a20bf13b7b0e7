using Monitor.Block;
using Monitor.Block.Throttling;
using Monitor.Qapi;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Storage.Drives;

/// <summary>A named user of a node, which a machine's disk is in QEMU: it has error policies and figures, and its medium may change.</summary>
/// <remarks>
/// The drive's door is the guest's: an export of the drive sends its requests through it, wherever the drive points. A drive has a name
/// (<c>--drive</c>), a device, or both. Turns only, but for what <see cref="IRequestPolicy"/> says.
/// </remarks>
public sealed class Drive : IRequestPolicy
{
    private readonly BlockGraph _graph;
    private readonly MachineRunState _runState;
    private TaskCompletionSource _abandoned = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _io;
    private int _leaving;
    private ThrottleMember? _throttle;

    /// <summary>Makes a drive without a medium.</summary>
    /// <param name="graph">Where its node is.</param>
    /// <param name="runState">What an error policy stops.</param>
    /// <param name="isLegacy">Whether <c>--drive</c> or <c>drive_add</c> made it: it goes with its device then.</param>
    internal Drive(BlockGraph graph, MachineRunState runState, bool isLegacy)
    {
        _graph = graph;
        _runState = runState;
        IsLegacy = isLegacy;
        Backend = new BlockBackend { Policy = this, AllowsInactive = true };
    }

    /// <summary>The door to its node.</summary>
    public BlockBackend Backend { get; }

    /// <summary>Its name; empty for one that only its device names.</summary>
    public string Name => Backend.Name;

    /// <summary>Whether it goes with its device.</summary>
    public bool IsLegacy { get; }

    /// <summary>Its place among the drives of its kind of device: names are chosen by it.</summary>
    internal (DriveInterface Kind, int Index)? Place { get; init; }

    /// <summary>The device that uses it, if any.</summary>
    public GuestDevice? Device { get; private set; }

    /// <summary>What its users have asked of it.</summary>
    public DriveStatistics Statistics { get; } = new();

    /// <summary>What becomes of failed writes.</summary>
    public BlockdevOnError WriteErrorPolicy { get; internal set; } = BlockdevOnError.Enospc;

    /// <summary>What becomes of failed reads.</summary>
    public BlockdevOnError ReadErrorPolicy { get; internal set; } = BlockdevOnError.Report;

    /// <summary>Whether a request has failed since the last <c>cont</c>; null where nobody reports that.</summary>
    public BlockDeviceIoStatus? IoStatus =>
        Device is { Model.ReportsStatus: true } && (WriteErrorPolicy is BlockdevOnError.Enospc or BlockdevOnError.Stop || ReadErrorPolicy == BlockdevOnError.Stop)
            ? (BlockDeviceIoStatus)_io
            : null;

    /// <summary>Whether a medium can be taken out: of a drive without a device always.</summary>
    public bool IsRemovable => Device?.Model.IsRemovable ?? true;

    /// <summary>Whether it has a tray that is open or closed.</summary>
    public bool HasTray => Device?.Model.HasTray ?? false;

    /// <summary>Whether writes may be acknowledged before they are durable.</summary>
    public bool HasWriteCache { get; internal set; } = true;

    /// <summary>Whether a medium put in by file name is opened read-only when nothing else is said.</summary>
    public bool IsReadOnlyByDefault { get; internal set; }

    /// <summary>Whether a medium put in by file name looks for zeroes in what is written.</summary>
    public DetectZeroesMode DetectsZeroes { get; private set; }

    /// <summary>Its place in a throttle group; <see langword="null"/> while its requests have no limits.</summary>
    public ThrottleMember? Throttle
    {
        get => Volatile.Read(ref _throttle);
        internal set => Volatile.Write(ref _throttle, value);
    }

    /// <inheritdoc/>
    bool IRequestPolicy.WritesThrough => !HasWriteCache;

    /// <summary>How the device's errors name it: its name, or what its device is called.</summary>
    internal string DisplayName => Name.Length > 0 ? Name : Device?.QdevName ?? "";

    /// <inheritdoc/>
    /// <remarks>Limits hold for reads and writes, of zeroes too; flushes and discards pass.</remarks>
    ValueTask IRequestPolicy.AdmitAsync(BlockRequestKind kind, long bytes) =>
        Device is { IsTrayOpen: true } ? throw new BlockIoException(Errno.ENOMEDIUM)
        : Throttle is { } member && kind is BlockRequestKind.Read or BlockRequestKind.Write ? member.WaitAsync(kind == BlockRequestKind.Write, bytes)
        : default;

    /// <inheritdoc/>
    void IRequestPolicy.CountDone(BlockRequestKind kind, long bytes, long started) => Statistics.CountDone(kind, bytes, started);

    /// <inheritdoc/>
    void IRequestPolicy.CountFailed(BlockRequestKind kind, long started) => Statistics.CountFailed(kind, started);

    /// <inheritdoc/>
    void IRequestPolicy.CountInvalid(BlockRequestKind kind) => Statistics.CountInvalid(kind);

    /// <inheritdoc/>
    /// <remarks>A request that waits for <c>cont</c> is outside the door meanwhile, so it delays no change of the graph.</remarks>
    async ValueTask<FailedRequestFate> IRequestPolicy.DecideAsync(BlockRequestKind kind, BlockIoException error)
    {
        bool isRead = kind == BlockRequestKind.Read;
        BlockErrorAction action = ActionFor(isRead ? ReadErrorPolicy : WriteErrorPolicy, error.Errno);
        if (action != BlockErrorAction.Stop)
        {
            _graph.Loop.Post(() => Announce(isRead, action, error));
            return action == BlockErrorAction.Ignore ? FailedRequestFate.Ignore : FailedRequestFate.Report;
        }

        var parked = new TaskCompletionSource<Task<bool>>(TaskCreationOptions.RunContinuationsAsynchronously);
        _graph.Loop.Post(() => parked.SetResult(Park(isRead, error)));
        bool isRunning = await (await parked.Task.ConfigureAwait(false)).ConfigureAwait(false);
        return isRunning ? FailedRequestFate.Retry : FailedRequestFate.Report;
    }

    /// <summary>Takes note of what a next medium is to have of the present one.</summary>
    internal void NoteMedium()
    {
        if (Backend.HasMedium)
        {
            IsReadOnlyByDefault = Backend.Node.Settings.ReadOnly;
            DetectsZeroes = Backend.Node.Settings.DetectZeroes;
        }
    }

    /// <summary>Forgets that requests failed; a turn.</summary>
    internal void ResetIoStatus() => _io = (int)BlockDeviceIoStatus.Ok;

    /// <summary>A user of the drive begins to go away: what waits for <c>cont</c> fails now, and nothing waits for it before <see cref="EndLeaving"/>. A turn; nests.</summary>
    internal void BeginLeaving()
    {
        _leaving++;
        TaskCompletionSource abandoned = _abandoned;
        _abandoned = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        abandoned.SetResult();
    }

    /// <summary>Ends one <see cref="BeginLeaving"/>. A turn.</summary>
    internal void EndLeaving() => _leaving--;

    /// <summary>Takes a device as its user.</summary>
    /// <exception cref="QmpException">The device's needs and those of other users of the node conflict; nothing was changed.</exception>
    internal void Attach(GuestDevice device)
    {
        Device = device;
        string description = Backend.Description;
        Backend.Description = $"block device '{DisplayName}'";
        try
        {
            ApplyPermissions();
        }
        catch
        {
            Device = null;
            Backend.Description = description;
            throw;
        }

        device.Drive = this;
    }

    /// <summary>Lets its device go.</summary>
    internal void Detach()
    {
        Device = null;
        ApplyPermissions();
    }

    /// <summary>Takes note of an export whose clients write; whoever says so applies the permissions.</summary>
    internal int WritableExports { get; set; }

    /// <summary>Sets what it uses of its node and shares.</summary>
    /// <exception cref="QmpException">A conflict; nothing was changed.</exception>
    internal void ApplyPermissions()
    {
        if (Backend.HasMedium)
        {
            (BlockPermission used, BlockPermission shared) = Permissions(Backend.Node);
            _graph.SetPermissions(Backend, used, shared);
        }
    }

    /// <summary>Gives it a node.</summary>
    /// <exception cref="QmpException">A conflict; nothing was changed.</exception>
    internal void Insert(BlockNode node)
    {
        (BlockPermission used, BlockPermission shared) = Permissions(node);
        _graph.AttachRoot(Backend, node, used, shared);
    }

    private static BlockErrorAction ActionFor(BlockdevOnError policy, int errno) => policy switch
    {
        BlockdevOnError.Ignore => BlockErrorAction.Ignore,
        BlockdevOnError.Stop => BlockErrorAction.Stop,
        BlockdevOnError.Enospc or BlockdevOnError.Auto => errno == Errno.ENOSPC ? BlockErrorAction.Stop : BlockErrorAction.Report,
        _ => BlockErrorAction.Report,
    };

    private (BlockPermission Used, BlockPermission Shared) Permissions(BlockNode node)
    {
        if (Device is not { } device)
        {
            BlockPermission write = WritableExports > 0 ? BlockPermission.Write : BlockPermission.None;
            return (BlockPermission.ConsistentRead | write, BlockPermission.All);
        }

        bool writes = device.Model.Writes == DeviceWrites.Always || (device.Model.Writes == DeviceWrites.IfPossible && !node.Settings.ReadOnly);
        BlockPermission shared = BlockPermission.ConsistentRead | BlockPermission.WriteUnchanged;
        shared |= device.Model.FollowsResize ? BlockPermission.Resize : BlockPermission.None;
        shared |= device.SharesWriting ? BlockPermission.Write : BlockPermission.None;
        return (BlockPermission.ConsistentRead | (writes ? BlockPermission.Write : BlockPermission.None), shared);
    }

    private void Announce(bool isRead, BlockErrorAction action, BlockIoException error) => _graph.Events.BlockIoError(
        Name,
        isRead ? IoOperationType.Read : IoOperationType.Write,
        action,
        Errno.Describe(error.Errno),
        Backend.HasMedium ? Backend.Node.NodeName : null,
        IoStatus is null ? null : error.Errno == Errno.ENOSPC);

    private Task<bool> Park(bool isRead, BlockIoException error)
    {
        if (_leaving > 0)
        {
            Announce(isRead, BlockErrorAction.Report, error);
            return Task.FromResult(false);
        }

        if (_io == (int)BlockDeviceIoStatus.Ok)
        {
            _io = (int)(error.Errno == Errno.ENOSPC ? BlockDeviceIoStatus.Nospace : BlockDeviceIoStatus.Failed);
        }

        Announce(isRead, BlockErrorAction.Stop, error);
        _runState.Stop(RunState.IoError);
        return WaitAsync(_runState.ResumedAsync(), _abandoned.Task);

        static async Task<bool> WaitAsync(Task<bool> resumed, Task abandoned) =>
            await Task.WhenAny(resumed, abandoned).ConfigureAwait(false) == resumed && await resumed.ConfigureAwait(false);
    }
}
