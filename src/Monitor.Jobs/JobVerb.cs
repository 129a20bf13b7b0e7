namespace Monitor.Jobs;

/// <summary>What a client can ask of a job.</summary>
public enum JobVerb
{
    /// <summary>End it without finishing its work.</summary>
    Cancel,

    /// <summary>Halt it.</summary>
    Pause,

    /// <summary>Let it go on.</summary>
    Resume,

    /// <summary>Change its speed limit.</summary>
    SetSpeed,

    /// <summary>Change what its kind lets one change.</summary>
    Change,

    /// <summary>Finish, now that it is ready.</summary>
    Complete,

    /// <summary>Make its final change.</summary>
    Finalize,

    /// <summary>Forget it.</summary>
    Dismiss,
}
