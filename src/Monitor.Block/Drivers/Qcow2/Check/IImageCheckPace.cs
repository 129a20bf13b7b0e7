namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Whoever wants a check: hears how far it is, and between two tables can halt it or end it.</summary>
public interface IImageCheckPace
{
    /// <summary>Ends the check's waits.</summary>
    CancellationToken Cancellation { get; }

    /// <summary>Tells how many tables there are still to look at.</summary>
    void Foresee(long tables);

    /// <summary>Before a table is looked at: goes in through the door to the image, when it may go on.</summary>
    /// <exception cref="OperationCanceledException">It is to end.</exception>
    ValueTask EnterAsync();

    /// <summary>After it: goes out.</summary>
    /// <param name="tables">How many were looked at.</param>
    void Exit(int tables);
}
