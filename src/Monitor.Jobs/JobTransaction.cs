namespace Monitor.Jobs;

/// <summary>Jobs that complete or fail as one: a job that is done waits for the others, one failure cancels them all.</summary>
/// <remarks>Its methods are turns. A job on its own is a transaction of one. Members are led newest first, which clients see in the order of events.</remarks>
public sealed class JobTransaction
{
    private readonly List<Job> _members = [];
    private bool _isAborting;

    /// <summary>Whether the final changes are being made.</summary>
    internal bool IsFinalizing { get; private set; }

    internal void Add(Job job) => _members.Insert(0, job);

    internal void Remove(Job job) => _members.Remove(job);

    /// <summary>A member's body is over: fail all, or wait for the others, or go on to the end.</summary>
    internal Task MemberEndedAsync(Job job)
    {
        if (_isAborting)
        {
            // Whoever aborts awaits this member's end and concludes it.
            return Task.CompletedTask;
        }

        if (job.HasFailed)
        {
            return AbortAsync(job);
        }

        job.EnterWaiting();
        if (!_members.TrueForAll(member => member.Ended.IsCompleted))
        {
            return Task.CompletedTask;
        }

        foreach (Job member in _members)
        {
            member.EnterPending();
        }

        return _members.TrueForAll(member => member.AutoFinalize) ? FinalizeAsync() : Task.CompletedTask;
    }

    /// <summary>Makes the final changes of all members: first all that may fail, then the rest.</summary>
    internal async Task FinalizeAsync()
    {
        if (IsFinalizing)
        {
            return;
        }

        IsFinalizing = true;
        Job[] members = [.. _members];
        foreach (Job member in members)
        {
            if (!await member.DoPrepareAsync())
            {
                IsFinalizing = false;
                await AbortAsync(member);
                return;
            }
        }

        await ConcludeAsync(members);
    }

    /// <summary>Fails all members, because <paramref name="culprit"/> failed or was cancelled.</summary>
    internal async Task AbortAsync(Job culprit)
    {
        if (_isAborting)
        {
            return;
        }

        _isAborting = true;
        culprit.EnterAborting();
        Job[] members = [.. _members];
        foreach (Job member in members)
        {
            member.MarkCancelled();
            member.UndoIfUnstarted();
        }

        await ConcludeAsync(members);
    }

    private async Task ConcludeAsync(Job[] members)
    {
        foreach (Job member in members)
        {
            if (member.IsStarted)
            {
                await member.Ended;
            }

            await member.ConcludeAsync();
            _members.Remove(member);
        }
    }
}
