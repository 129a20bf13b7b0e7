namespace Unit.Qcow2;

/// <summary>Counts what storages do to their media, and fails at one of these steps: for all storages that share it at once.</summary>
internal sealed class PowerSupply
{
    private readonly Lock _gate = new();

    /// <summary>The number of the write, truncation or flush at which the power fails; counted from 0.</summary>
    public int StopsAt { get; set; } = int.MaxValue;

    /// <summary>Writes, truncations and flushes so far.</summary>
    public int Operations { get; private set; }

    public bool HasStopped { get; private set; }

    /// <summary>Counts a step.</summary>
    /// <returns>Whether the power fails at this very step.</returns>
    public bool Draw()
    {
        lock (_gate)
        {
            bool stopsNow = Operations++ == StopsAt;
            HasStopped |= stopsNow;
            return stopsNow;
        }
    }
}
