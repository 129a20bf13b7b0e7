using Monitor.Block.Drivers.Qcow2;

namespace Unit.Qcow2;

/// <summary>Counts a check's steps and does something before each.</summary>
/// <param name="before">Told the number of the step, from 1.</param>
internal sealed class CheckPace(Func<int, ValueTask> before) : IImageCheckPace
{
    private int _steps;

    public CancellationToken Cancellation => CancellationToken.None;

    /// <summary>Tables looked at.</summary>
    public long Done { get; private set; }

    /// <summary>Tables looked at and to be looked at, as told last.</summary>
    public long Total { get; private set; }

    public void Foresee(long tables) => Total = Done + tables;

    public ValueTask EnterAsync() => before(++_steps);

    public void Exit(int tables) => Done += tables;
}
