namespace Monitor.Block.Drivers.Qcow2;

/// <summary>What a check of an image found, in the terms of <c>qemu-img check</c>.</summary>
public sealed class ImageCheckFindings
{
    /// <summary>Texts that are kept; further ones are counted only.</summary>
    public const int MostMessages = 100;

    private readonly List<string> _messages = [];

    /// <summary>What could not be looked at.</summary>
    public long CheckErrors { get; internal set; }

    /// <summary>Errors that can lose data, those repaired not counted.</summary>
    public long Corruptions { get; internal set; }

    /// <summary>Clusters that waste space, those repaired not counted.</summary>
    public long Leaks { get; internal set; }

    /// <summary>Errors that were repaired.</summary>
    public long CorruptionsFixed { get; internal set; }

    /// <summary>Leaks that were repaired.</summary>
    public long LeaksFixed { get; internal set; }

    /// <summary>Guest clusters of the disk.</summary>
    public long TotalClusters { get; internal set; }

    /// <summary>Guest clusters that have a place in the file.</summary>
    public long AllocatedClusters { get; internal set; }

    /// <summary>Of these, those that do not follow their predecessor in the file.</summary>
    public long FragmentedClusters { get; internal set; }

    /// <summary>Of these, those that are compressed.</summary>
    public long CompressedClusters { get; internal set; }

    /// <summary>Where the last cluster in use ends in the file, in bytes.</summary>
    public long ImageEndOffset { get; internal set; }

    /// <summary>What was found, one text each; at most <see cref="MostMessages"/>.</summary>
    public IReadOnlyList<string> Messages => _messages;

    internal void AddCorruption(string message)
    {
        Corruptions++;
        Add(message);
    }

    internal void AddLeak(string message)
    {
        Leaks++;
        Add(message);
    }

    internal void AddCheckError(string message)
    {
        CheckErrors++;
        Add(message);
    }

    internal void AddFixed(string message)
    {
        CorruptionsFixed++;
        Add(message);
    }

    /// <summary>Takes note that some of what was found has been repaired.</summary>
    internal void Fix(long corruptions, long leaks)
    {
        (Corruptions, CorruptionsFixed) = (Corruptions - corruptions, CorruptionsFixed + corruptions);
        (Leaks, LeaksFixed) = (Leaks - leaks, LeaksFixed + leaks);
    }

    /// <summary>Adds what another part of the check found.</summary>
    internal void Absorb(ImageCheckFindings other)
    {
        Corruptions += other.Corruptions;
        Leaks += other.Leaks;
        CheckErrors += other.CheckErrors;
        CorruptionsFixed += other.CorruptionsFixed;
        foreach (string message in other._messages)
        {
            Add(message);
        }
    }

    private void Add(string message)
    {
        if (_messages.Count < MostMessages)
        {
            _messages.Add(message);
        }
    }
}
