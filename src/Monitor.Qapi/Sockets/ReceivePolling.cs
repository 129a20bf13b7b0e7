namespace Monitor.Qapi;

/// <summary>Says how long a thread looks for input again and again before it sleeps until some comes.</summary>
/// <remarks>
/// <para>The idea: a client that waits for every reply sends its next request some 30 µs later. To sleep meanwhile takes longer: the
/// processor halts, and to wake it costs the client a call to another processor and us the time until it runs (on a virtual machine 25 µs
/// and most of the request's CPU). So while requests follow each other quickly their thread looks for the next one, giving way to
/// whoever else can run; after a pause it sleeps at once, until two requests follow each other quickly again.</para>
/// <para>Cost: 60 µs of one processor at the beginning of a pause; nothing for a client that is idle. Where requests come just after the
/// look ended (their client has to ask another server first), each look in vain doubles how many quick requests must pass before the
/// next. A machine with one processor never looks.</para>
/// </remarks>
/// <param name="time">For tests.</param>
public sealed class ReceivePolling(TimeProvider? time = null)
{
    private static readonly bool s_isOfUse = Environment.ProcessorCount > 1;

    /// <summary>How long to look.</summary>
    private static readonly TimeSpan s_lookTime = TimeSpan.FromMicroseconds(60);

    /// <summary>What came earlier than this came quickly, with the time that it takes to be woken.</summary>
    private static readonly TimeSpan s_quickTime = TimeSpan.FromMicroseconds(100);

    /// <summary>Of quick requests in a row without a look, as a power of two.</summary>
    private const int MostRestShift = 6;

    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private long _began;
    private bool _hasLookedInVain;
    private int _looksInVain;
    private int _rest;

    /// <summary>Whether to look before sleeping.</summary>
    public bool IsLooking { get; private set; }

    /// <summary>There is nothing left to do: input is waited for from now on.</summary>
    public void Begin()
    {
        _began = _time.GetTimestamp();
        _hasLookedInVain = false;
    }

    /// <summary>Nothing has come yet; gives way to other threads.</summary>
    public void LookAgain()
    {
        if (_time.GetElapsedTime(_began) >= s_lookTime)
        {
            IsLooking = false;
            _hasLookedInVain = true;
        }
        else
        {
            Thread.Yield();
        }
    }

    /// <summary>Something came.</summary>
    public void End()
    {
        if (_hasLookedInVain)
        {
            _rest = 1 << Math.Min(_looksInVain++, MostRestShift);
        }
        else if (IsLooking)
        {
            _looksInVain = 0;
        }
        else if (s_isOfUse && _time.GetElapsedTime(_began) < s_quickTime)
        {
            IsLooking = _rest-- <= 0;
        }
    }
}
