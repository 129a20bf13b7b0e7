namespace Monitor.Qapi;

/// <summary>Runs turns of the control plane: code that holds the loop's lock and never blocks.</summary>
/// <remarks>
/// During a turn the scheduler is the current <see cref="SynchronizationContext"/>, so an <c>await</c> without
/// <c>ConfigureAwait(false)</c> resumes as a later turn. Data-plane code therefore always says <c>ConfigureAwait(false)</c>.
/// </remarks>
public interface ITurnScheduler
{
    /// <summary>Runs <paramref name="turn"/> on the calling thread as a turn, waiting for the lock first; a turn that calls it runs it at once.</summary>
    /// <typeparam name="TState">The type of the state handed over, so that no closure is needed.</typeparam>
    /// <param name="turn">The code of the turn; must not block.</param>
    /// <param name="state">Handed to <paramref name="turn"/>.</param>
    void Run<TState>(Action<TState> turn, TState state);

    /// <summary>Queues <paramref name="turn"/> to run on the loop's own thread, in order with other queued turns.</summary>
    /// <param name="turn">The code of the turn; must not block.</param>
    void Post(Action turn);
}
