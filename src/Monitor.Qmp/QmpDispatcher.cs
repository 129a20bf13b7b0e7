namespace Monitor.Qmp;

/// <summary>Finds the command a request names and runs its first turn on the thread that read it.</summary>
/// <remarks>No hop to another thread: a command that need not wait is parsed, run and answered by one thread. What follows an
/// <c>await</c> in a command resumes as a turn of the scheduler.</remarks>
/// <param name="commands">The commands that exist.</param>
/// <param name="scheduler">Owns the control plane.</param>
public sealed class QmpDispatcher(QmpCommandTable commands, ITurnScheduler scheduler)
{
    /// <summary>Runs a request's command up to its end or its first wait.</summary>
    /// <param name="request">Opened.</param>
    /// <exception cref="QmpException">The error reply.</exception>
    internal void Dispatch(QmpRequest request)
    {
        if (!commands.TryGet(request.CommandName, out var command))
        {
            throw new QmpException(QmpErrorClass.CommandNotFound, $"The command {request.CommandNameText} has not been found");
        }

        if (request.IsOutOfBand && (command.Options & QmpCommandOptions.AllowOob) == 0)
        {
            throw new QmpException($"The command {request.CommandNameText} does not support OOB");
        }

        request.Command = command;
        if ((command.Options & QmpCommandOptions.Lockless) != 0)
        {
            request.RunFirstTurn();
        }
        else
        {
            scheduler.Run(static turn => turn.RunFirstTurn(), request);
        }
    }
}
