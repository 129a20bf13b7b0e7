using Monitor.Qapi;

namespace Monitor.Block.Drivers.Blkdebug;

/// <summary>Which error, if any, the next request meets: the rules of a blkdebug node and the state they hang on.</summary>
/// <remarks>
/// An event arms the inject-error rules that wait for it in the present state, in place of those armed before, and then moves the
/// state as the set-state rules say. A request meets the first armed rule that fits its kind and range. The event <c>none</c>
/// happens once, when the rules are made. Example: <c>set-state l2_update 1 → 2</c> with <c>inject-error write_aio, state 2</c>
/// fails the data writes that follow the first L2 update.
/// </remarks>
internal sealed class BlkdebugRules
{
    private const long InitialState = 1;
    private const int SectorBytes = 512;

    private readonly Lock _lock = new();
    private readonly List<BlkdebugInjectErrorOptions> _errors;
    private readonly IReadOnlyList<BlkdebugSetStateOptions> _transitions;
    private List<BlkdebugInjectErrorOptions> _armed = [];
    private long _state = InitialState;

    public BlkdebugRules(
        IReadOnlyList<BlkdebugInjectErrorOptions>? errors, IReadOnlyList<BlkdebugSetStateOptions>? transitions)
    {
        _errors = [.. errors ?? []];
        _transitions = transitions ?? [];
        OnEvent(BlkdebugEvent.None);
    }

    /// <summary>Arms rules and moves the state.</summary>
    public void OnEvent(BlkdebugEvent evt)
    {
        lock (_lock)
        {
            List<BlkdebugInjectErrorOptions> armed = _errors.FindAll(r => r.Event == evt && Holds(r.State));
            if (armed.Count > 0)
            {
                _armed = armed;
            }

            long next = _state;
            foreach (BlkdebugSetStateOptions transition in _transitions)
            {
                if (transition.Event == evt && Holds(transition.State))
                {
                    next = transition.NewState;
                }
            }

            _state = next;
        }
    }

    /// <summary>The rule that a request meets; one that holds <c>once</c> is spent by it.</summary>
    /// <param name="type">The kind of request.</param>
    /// <param name="offset">Its start in bytes.</param>
    /// <param name="length">Its bytes; 0 for a flush, which no rule for a sector fits.</param>
    public BlkdebugInjectErrorOptions? Meet(BlkdebugIOType type, long offset, long length)
    {
        lock (_lock)
        {
            BlkdebugInjectErrorOptions? rule = _armed.Find(r => Fits(r, type, offset, length));
            if (rule?.Once == true)
            {
                _armed.Remove(rule);
                _errors.Remove(rule);
            }

            return rule;
        }
    }

    private static bool Fits(BlkdebugInjectErrorOptions rule, BlkdebugIOType type, long offset, long length)
    {
        bool typeFits = rule.Iotype is { } wanted ? wanted == type : type != BlkdebugIOType.BlockStatus;
        long position = (rule.Sector ?? -1) < 0 ? -1 : rule.Sector!.Value * SectorBytes;
        return typeFits && (position < 0 || (position >= offset && position < offset + length));
    }

    private bool Holds(long? state) => state is null or 0 || state == _state;
}
