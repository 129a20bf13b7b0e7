namespace Monitor.Block.Throttling;

/// <summary>Whose requests a <see cref="ThrottleGroup"/> limits: a throttle node, a drive.</summary>
public sealed class ThrottleMember
{
    private readonly Queue<ThrottledRequest> _reads = new();
    private readonly Queue<ThrottledRequest> _writes = new();
    private int _suspensions;

    /// <summary>Joins a group.</summary>
    public ThrottleMember(ThrottleGroup group)
    {
        Group = group;
        group.Join(this);
    }

    /// <summary>The group.</summary>
    public ThrottleGroup Group { get; private set; }

    /// <summary>Nothing waits while this holds; guarded by the group's lock.</summary>
    internal bool IsSuspended { get; set; }

    /// <summary>Completes when a request may pass.</summary>
    /// <param name="isWrite">Whether it counts as a write (zeroes and discards do).</param>
    /// <param name="bytes">Its length.</param>
    public ValueTask WaitAsync(bool isWrite, long bytes) =>
        Group.Configuration.IsLimited ? Group.WaitAsync(this, isWrite, bytes) : default;

    /// <summary>Lets what waits, and all that follows, pass at once until <see cref="Resume"/>; nests. A turn.</summary>
    public void Suspend()
    {
        if (++_suspensions == 1)
        {
            Group.SetSuspended(this, true);
        }
    }

    /// <summary>Takes back one <see cref="Suspend"/>. A turn.</summary>
    public void Resume()
    {
        if (--_suspensions == 0)
        {
            Group.SetSuspended(this, false);
        }
    }

    /// <summary>Changes to another group. No request of this member is under way.</summary>
    public void MoveTo(ThrottleGroup group)
    {
        Group.Leave(this);
        Group = group;
        group.Join(this);
    }

    /// <summary>Leaves the group for good. No request of this member is under way.</summary>
    public void Leave() => Group.Leave(this);

    internal Queue<ThrottledRequest> Waiting(bool isWrite) => isWrite ? _writes : _reads;
}
