namespace Monitor.Block.Throttling;

/// <summary>Limits that several members share: requests pass, or wait and then pass in turn, one of each member after the other.</summary>
/// <remarks>
/// <para>The idea: a request that may pass fills the buckets it counts in and passes at once. Otherwise it joins its member's queue, and a
/// timer per direction (reads, writes) wakes the group when its buckets have leaked enough. Then requests pass until a bucket is
/// full again, round robin over the members that have any waiting. A member never passes its own waiting requests, nor those of others.</para>
/// <para>Cost of a request that passes: one short lock. Safe to use from any thread.</para>
/// </remarks>
public sealed class ThrottleGroup
{
    private const int RequestTotal = 3;

    private static readonly bool[] s_directions = [false, true];
    private static readonly TimeSpan s_longestWait = TimeSpan.FromHours(1);

    private readonly Lock _lock = new();
    private readonly TimeProvider _time;
    private readonly List<ThrottleMember> _members = [];
    private readonly int[] _next = new int[2];
    private readonly ITimer?[] _timers = new ITimer?[2];
    private ThrottleConfiguration _configuration = ThrottleConfiguration.Unlimited;
    private LeakyBucket?[] _buckets = ThrottleConfiguration.Unlimited.MakeBuckets();
    private long _leakedAt;

    /// <summary>Makes a group without limits and members.</summary>
    /// <param name="name">Its unique name.</param>
    /// <param name="time">The clock.</param>
    public ThrottleGroup(string name, TimeProvider time)
    {
        Name = name;
        _time = time;
        _leakedAt = time.GetTimestamp();
    }

    /// <summary>Its unique name.</summary>
    public string Name { get; }

    /// <summary>The limits; set anew, they begin with empty buckets.</summary>
    public ThrottleConfiguration Configuration
    {
        get => Volatile.Read(ref _configuration);
        set
        {
            var passing = new List<ThrottledRequest>();
            lock (_lock)
            {
                Volatile.Write(ref _configuration, value);
                _buckets = value.MakeBuckets();
                _leakedAt = _time.GetTimestamp();
                foreach (bool isWrite in s_directions)
                {
                    Disarm(isWrite);
                    LetPass(isWrite, passing);
                }
            }

            Wake(passing);
        }
    }

    /// <summary>Whether it has members.</summary>
    public bool IsInUse
    {
        get
        {
            lock (_lock)
            {
                return _members.Count > 0;
            }
        }
    }

    internal void Join(ThrottleMember member)
    {
        lock (_lock)
        {
            _members.Add(member);
        }
    }

    /// <summary>Takes a member out, which has no requests waiting.</summary>
    internal void Leave(ThrottleMember member)
    {
        lock (_lock)
        {
            _members.Remove(member);
        }
    }

    /// <summary>Completes when the request may pass; it has been accounted for then.</summary>
    internal ValueTask WaitAsync(ThrottleMember member, bool isWrite, long bytes)
    {
        lock (_lock)
        {
            if (member.IsSuspended || (!IsAnyWaiting(isWrite) && WaitSeconds(isWrite) == 0))
            {
                Account(isWrite, bytes);
                return default;
            }

            var request = new ThrottledRequest(bytes);
            member.Waiting(isWrite).Enqueue(request);
            Arm(isWrite);
            return new ValueTask(request.Task);
        }
    }

    /// <summary>Lets a member's waiting requests and all that follow pass without waiting, or ends that.</summary>
    internal void SetSuspended(ThrottleMember member, bool isSuspended)
    {
        var passing = new List<ThrottledRequest>();
        lock (_lock)
        {
            member.IsSuspended = isSuspended;
            foreach (bool isWrite in s_directions)
            {
                while (isSuspended && member.Waiting(isWrite).TryDequeue(out ThrottledRequest? request))
                {
                    Account(isWrite, request.Bytes);
                    passing.Add(request);
                }
            }
        }

        Wake(passing);
    }

    private static int Direction(bool isWrite) => isWrite ? 1 : 0;

    private static void Wake(List<ThrottledRequest> requests)
    {
        foreach (ThrottledRequest request in requests)
        {
            request.SetResult();
        }
    }

    private void OnTimer(bool isWrite)
    {
        var passing = new List<ThrottledRequest>();
        lock (_lock)
        {
            Disarm(isWrite);
            LetPass(isWrite, passing);
        }

        Wake(passing);
    }

    private void LetPass(bool isWrite, List<ThrottledRequest> passing)
    {
        while (NextWaiting(isWrite) is { } member)
        {
            if (WaitSeconds(isWrite) > 0)
            {
                Arm(isWrite);
                return;
            }

            _next[Direction(isWrite)] = _members.IndexOf(member) + 1;
            ThrottledRequest request = member.Waiting(isWrite).Dequeue();
            Account(isWrite, request.Bytes);
            passing.Add(request);
        }
    }

    /// <summary>The member whose turn it is: the next with requests waiting, behind the one that had the last turn.</summary>
    private ThrottleMember? NextWaiting(bool isWrite)
    {
        for (int i = 0; i < _members.Count; i++)
        {
            ThrottleMember member = _members[(_next[Direction(isWrite)] + i) % _members.Count];
            if (member.Waiting(isWrite).Count > 0)
            {
                return member;
            }
        }

        return null;
    }

    private bool IsAnyWaiting(bool isWrite) => _timers[Direction(isWrite)] is not null && NextWaiting(isWrite) is not null;

    private double WaitSeconds(bool isWrite)
    {
        long now = _time.GetTimestamp();
        double seconds = (double)(now - _leakedAt) / _time.TimestampFrequency;
        _leakedAt = now;
        double wait = 0;
        for (int i = 0; i < _buckets.Length; i++)
        {
            if (_buckets[i] is not { } bucket)
            {
                continue;
            }

            bucket.Leak(seconds);
            wait = Counts(i, isWrite) ? Math.Max(wait, bucket.WaitSeconds) : wait;
        }

        return wait;
    }

    private void Account(bool isWrite, long bytes)
    {
        long unit = _configuration.Values[ThrottleConfiguration.SizeIndex];
        double requests = unit > 0 && bytes > unit ? (double)bytes / unit : 1;
        for (int i = 0; i < _buckets.Length; i++)
        {
            if (Counts(i, isWrite))
            {
                _buckets[i]?.Add(i < RequestTotal ? bytes : requests);
            }
        }
    }

    /// <summary>Whether requests of a direction count in a bucket: total, reads, writes of bytes, then of requests.</summary>
    private static bool Counts(int bucket, bool isWrite)
    {
        int kind = bucket % RequestTotal;
        return kind == 0 || kind == 1 + Direction(isWrite);
    }

    private void Disarm(bool isWrite)
    {
        _timers[Direction(isWrite)]?.Dispose();
        _timers[Direction(isWrite)] = null;
    }

    private void Arm(bool isWrite)
    {
        ref ITimer? timer = ref _timers[Direction(isWrite)];
        if (timer is not null)
        {
            return;
        }

        // Timers count whole milliseconds: one that rings early would only be set again.
        double milliseconds = Math.Ceiling(WaitSeconds(isWrite) * 1000);
        TimeSpan wait = TimeSpan.FromMilliseconds(Math.Min(milliseconds, s_longestWait.TotalMilliseconds));
        timer = _time.CreateTimer(_ => OnTimer(isWrite), null, wait, Timeout.InfiniteTimeSpan);
    }
}
