namespace Monitor.Block.Throttling;

/// <summary>One limit of a throttle group: a bucket that requests fill and that leaks at the allowed rate.</summary>
/// <remarks>
/// <para>A request that finds the bucket full waits until enough has leaked; one that finds it not full pours itself in and passes, even if it
/// overflows the bucket: the next one pays. Without a burst the bucket holds a tenth of a second's worth, so that a few requests
/// in a row are not held back one by one. With a burst rate it holds what that rate gives in the burst's seconds; for bursts
/// longer than a second another bucket, a tenth of a second deep and leaking at the burst rate, keeps the burst itself to its rate.</para>
/// <para>Example: rate 100, burst 1000 for 2 s: 2,000 units pass within 2 s, then 100 a second; after idle time the burst is there again.</para>
/// </remarks>
/// <param name="rate">Units per second; 0 is no limit.</param>
/// <param name="burstRate">Units per second while a burst lasts; 0 is no burst.</param>
/// <param name="burstSeconds">How long a burst may last.</param>
internal sealed class LeakyBucket(long rate, long burstRate, long burstSeconds)
{
    private const double ShortBurstSeconds = 0.1;

    private readonly double _capacity = burstRate > 0 ? (double)burstRate * burstSeconds : rate * ShortBurstSeconds;
    private readonly bool _isBurstLimited = burstRate > 0 && burstSeconds > 1;
    private double _level;
    private double _burstLevel;

    /// <summary>Seconds until a request may pass; 0 if one may now.</summary>
    public double WaitSeconds
    {
        get
        {
            if (rate == 0)
            {
                return 0;
            }

            double excess = _level - _capacity;
            if (excess > 0)
            {
                return excess / rate;
            }

            double burstExcess = _burstLevel - (burstRate * ShortBurstSeconds);
            return _isBurstLimited && burstExcess > 0 ? burstExcess / burstRate : 0;
        }
    }

    /// <summary>Lets time pass.</summary>
    public void Leak(double seconds)
    {
        _level = Math.Max(0, _level - (rate * seconds));
        _burstLevel = Math.Max(0, _burstLevel - (burstRate * seconds));
    }

    /// <summary>Pours a request in.</summary>
    public void Add(double units)
    {
        _level += units;
        _burstLevel += units;
    }
}
