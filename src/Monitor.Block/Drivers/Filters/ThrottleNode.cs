using Monitor.Block.Throttling;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Filters;

/// <summary>Holds requests back to the rate of its group (driver <c>throttle</c>). Flushes and questions about the map always pass.</summary>
/// <remarks>While a door above is closed nothing is held back, so that a drain ends at once; what passes then is paid for afterwards.</remarks>
public sealed class ThrottleNode : FilterNode
{
    private readonly ThrottleGroups _groups;
    private readonly string _groupAtOpen;
    private ThrottleMember? _member;

    /// <summary>Makes the node; its <c>file</c> child (role Filtered) is attached before it is opened.</summary>
    /// <param name="settings">The options every node has.</param>
    /// <param name="group">Name of the group.</param>
    /// <param name="groups">All groups.</param>
    /// <exception cref="QmpException">There is no such group.</exception>
    public ThrottleNode(BlockNodeSettings settings, string group, ThrottleGroups groups)
        : base(settings)
    {
        _groups = groups;
        _groupAtOpen = group;
        Find(group);
    }

    /// <inheritdoc/>
    public override string DriverName => "throttle";

    /// <inheritdoc/>
    public override string FileName => JsonFileName;

    /// <inheritdoc/>
    public override string OptionsJson =>
        DescribeOptions(new OptionsText(DriverName).AddText("throttle-group", _member?.Group.Name ?? _groupAtOpen)).ToString();

    /// <inheritdoc/>
    public override bool SupportsCompression => Below.SupportsCompression;

    private ThrottleMember Member => _member!;

    /// <inheritdoc/>
    public override ValueTask OpenAsync()
    {
        _member = new ThrottleMember(Find(_groupAtOpen));
        return base.OpenAsync();
    }

    /// <inheritdoc/>
    public override ValueTask CloseAsync()
    {
        Member.Leave();
        return base.CloseAsync();
    }

    /// <inheritdoc/>
    protected internal override void Reconfigure(BlockdevOptions? options)
    {
        if (options is not null && Find(options.Throttle.ThrottleGroup) is var group && group != Member.Group)
        {
            Member.MoveTo(group);
        }

        base.Reconfigure(options);
    }

    /// <inheritdoc/>
    protected internal override void OnDrainBegun() => Member.Suspend();

    /// <inheritdoc/>
    protected internal override void OnDrainEnded() => Member.Resume();

    /// <inheritdoc/>
    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        ValueTask wait = Member.WaitAsync(isWrite: false, buffer.Length);
        return wait.IsCompletedSuccessfully ? base.DoReadAsync(offset, buffer) : ReadLaterAsync(wait, offset, buffer);
    }

    /// <inheritdoc/>
    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        ValueTask wait = Member.WaitAsync(isWrite: true, buffer.Length);
        return wait.IsCompletedSuccessfully ? base.DoWriteAsync(offset, buffer, flags) : WriteLaterAsync(wait, offset, buffer, flags);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        await Member.WaitAsync(isWrite: true, length).ConfigureAwait(false);
        await base.DoWriteZeroesAsync(offset, length, flags).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoDiscardAsync(long offset, long length)
    {
        await Member.WaitAsync(isWrite: true, length).ConfigureAwait(false);
        await base.DoDiscardAsync(offset, length).ConfigureAwait(false);
    }

    private ThrottleGroup Find(string group) => _groups.Find(group) ?? throw new QmpException($"Throttle group '{group}' does not exist");

    private async ValueTask ReadLaterAsync(ValueTask wait, long offset, Memory<byte> buffer)
    {
        await wait.ConfigureAwait(false);
        await base.DoReadAsync(offset, buffer).ConfigureAwait(false);
    }

    private async ValueTask WriteLaterAsync(ValueTask wait, long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await wait.ConfigureAwait(false);
        await base.DoWriteAsync(offset, buffer, flags).ConfigureAwait(false);
    }
}
