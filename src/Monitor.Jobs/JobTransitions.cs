using Monitor.Qapi;

namespace Monitor.Jobs;

/// <summary>The two tables of a job's life: which status may follow which, and which verbs a status takes.</summary>
public static class JobTransitions
{
    private static readonly JobStatus[][] s_next =
    [
        /* undefined */ [JobStatus.Created],
        /* created   */ [JobStatus.Running, JobStatus.Aborting, JobStatus.Null],
        /* running   */ [JobStatus.Paused, JobStatus.Ready, JobStatus.Waiting, JobStatus.Aborting],
        /* paused    */ [JobStatus.Running],
        /* ready     */ [JobStatus.Standby, JobStatus.Waiting, JobStatus.Aborting],
        /* standby   */ [JobStatus.Ready],
        /* waiting   */ [JobStatus.Pending, JobStatus.Aborting],
        /* pending   */ [JobStatus.Aborting, JobStatus.Concluded],
        /* aborting  */ [JobStatus.Aborting, JobStatus.Concluded],
        /* concluded */ [JobStatus.Null],
        /* null      */ [],
    ];

    private static readonly JobStatus[][] s_takers =
    [
        /* cancel    */ [JobStatus.Created, JobStatus.Running, JobStatus.Paused, JobStatus.Ready, JobStatus.Standby, JobStatus.Waiting, JobStatus.Pending],
        /* pause     */ [JobStatus.Created, JobStatus.Running, JobStatus.Paused, JobStatus.Ready, JobStatus.Standby],
        /* resume    */ [JobStatus.Created, JobStatus.Running, JobStatus.Paused, JobStatus.Ready, JobStatus.Standby],
        /* set-speed */ [JobStatus.Created, JobStatus.Running, JobStatus.Paused, JobStatus.Ready, JobStatus.Standby],
        /* change    */ [JobStatus.Created, JobStatus.Running, JobStatus.Paused, JobStatus.Ready, JobStatus.Standby],
        /* complete  */ [JobStatus.Ready, JobStatus.Standby],
        /* finalize  */ [JobStatus.Pending],
        /* dismiss   */ [JobStatus.Concluded],
    ];

    private static readonly string[] s_verbs = ["cancel", "pause", "resume", "set-speed", "change", "complete", "finalize", "dismiss"];

    /// <summary>Whether a job in <paramref name="from"/> may go to <paramref name="to"/>.</summary>
    public static bool IsAllowed(JobStatus from, JobStatus to) => Array.IndexOf(s_next[(int)from], to) >= 0;

    /// <summary>Whether a job in <paramref name="status"/> takes <paramref name="verb"/>.</summary>
    public static bool Takes(JobStatus status, JobVerb verb) => Array.IndexOf(s_takers[(int)verb], status) >= 0;

    /// <summary>The verb as the wire spells it, such as <c>set-speed</c>.</summary>
    public static string ToWire(this JobVerb verb) => s_verbs[(int)verb];
}
