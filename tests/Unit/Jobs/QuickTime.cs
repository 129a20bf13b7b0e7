namespace Unit.Jobs;

/// <summary>A clock whose timers ring after a millisecond, whatever was asked.</summary>
internal sealed class QuickTime : TimeProvider
{
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        base.CreateTimer(callback, state, dueTime > TimeSpan.FromMilliseconds(1) ? TimeSpan.FromMilliseconds(1) : dueTime, period);
}
