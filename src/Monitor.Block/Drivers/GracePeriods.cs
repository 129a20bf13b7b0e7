namespace Monitor.Block.Drivers;

/// <summary>Tells when every request that may still use what was just unlinked has left; as RCU does, without making anyone wait.</summary>
/// <remarks>
/// <para>Requests look clusters up without a lock and use them for a while, so a freed cluster may be given to somebody else only when
/// all who looked before it was unlinked are gone. Each request counts itself on the side that is current when it enters. Time advances
/// when the other side is empty: that side then becomes the current one. After two advances both sides were seen empty, so whoever was
/// inside at the stamp has left; who came later looked later and found the new entry.</para>
/// <para>Example: unlink at time 4, so the stamp is 6. Side 1 is empty: time 5, new requests go to side 1. When the last request on
/// side 0 leaves, the next try makes it time 6 and the cluster is free. Cost: two interlocked operations a request on a counter that
/// the cores seldom share.</para>
/// </remarks>
internal sealed class GracePeriods
{
    private const int Stripes = 8;

    /// <summary>Counters between two that are used: 128 bytes, two cache lines.</summary>
    private const int Stride = 32;

    private readonly int[] _inside = new int[2 * Stripes * Stride];
    private int _side;
    private long _time;

    /// <summary>When what is unlinked now may be reused.</summary>
    public long Stamp => _time + 2;

    /// <summary>Goes in, before the first look-up; needs one <see cref="Exit"/> with the ticket.</summary>
    public int Enter()
    {
        int stripe = Thread.GetCurrentProcessorId() & (Stripes - 1);
        int ticket = ((stripe << 1) | Volatile.Read(ref _side)) * Stride;
        Interlocked.Increment(ref _inside[ticket]);
        return ticket;
    }

    /// <summary>Goes out, after the last use of what was looked up.</summary>
    public void Exit(int ticket) => Interlocked.Decrement(ref _inside[ticket]);

    /// <summary>Whether the time of <paramref name="stamp"/> has come. One caller at a time.</summary>
    public bool HasPassed(long stamp)
    {
        while (_time < stamp && IsEmpty(_side ^ 1))
        {
            Volatile.Write(ref _side, _side ^ 1);
            _time++;
        }

        return _time >= stamp;
    }

    private bool IsEmpty(int side)
    {
        Interlocked.MemoryBarrier();
        for (int stripe = 0; stripe < Stripes; stripe++)
        {
            if (Volatile.Read(ref _inside[((stripe << 1) | side) * Stride]) != 0)
            {
                return false;
            }
        }

        return true;
    }
}
