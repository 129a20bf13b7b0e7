using Monitor.Block.Throttling;
using Monitor.Qapi;

namespace Monitor.Storage.Drives;

/// <summary>The throttle groups of drives: made when the first drive joins, gone with the last. Used in turns only.</summary>
/// <param name="groups">All groups, those that clients made as objects too.</param>
internal sealed class DriveThrottling(ThrottleGroups groups)
{
    private readonly HashSet<ThrottleGroup> _made = [];

    /// <summary>Sets the limits of a drive's group; no limits take the drive out of it.</summary>
    /// <param name="drive">The drive.</param>
    /// <param name="configuration">The limits.</param>
    /// <param name="groupName">The group; null for that which it is in, or one of its own.</param>
    /// <param name="ownName">The name of a group of its own.</param>
    public void SetLimits(Drive drive, ThrottleConfiguration configuration, string? groupName, string ownName)
    {
        if (!configuration.IsLimited)
        {
            Leave(drive);
            return;
        }

        if (drive.Throttle is null || (groupName is not null && drive.Throttle.Group.Name != groupName))
        {
            ThrottleGroup group = FindOrMake(groupName ?? ownName);
            var member = new ThrottleMember(group);
            Leave(drive);
            drive.Throttle = member;
        }

        drive.Throttle.Group.Configuration = configuration;
    }

    /// <summary>Takes a drive out of its group; what waited passes.</summary>
    public void Leave(Drive drive)
    {
        if (drive.Throttle is not { } member)
        {
            return;
        }

        drive.Throttle = null;
        member.Suspend();
        member.Leave();
        if (!member.Group.IsInUse && _made.Remove(member.Group))
        {
            groups.Remove(member.Group);
        }
    }

    private ThrottleGroup FindOrMake(string name)
    {
        if (groups.Find(name) is { } found)
        {
            return found;
        }

        ThrottleGroup made = groups.Add(name);
        _made.Add(made);
        return made;
    }
}
