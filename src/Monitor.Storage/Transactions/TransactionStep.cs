using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary>One action of a transaction as it is carried out; the wire's form of it is <see cref="TransactionAction"/>.</summary>
/// <remarks>
/// <see cref="Transaction"/> calls the phases in this order: Open of every step; (doors close); Capture of every step; Prepare of every step;
/// Commit of every step; (doors open); Proceed of every step; Clean of every step. If an Open or a Prepare throws, the prepared steps get
/// Abort, last first, all get UndoCapture, last first, and the opened ones UndoOpen, last first; nothing else is called.
/// </remarks>
public abstract class TransactionStep
{
    /// <summary>The action's wire name, for error texts.</summary>
    public abstract string ActionName { get; }

    /// <summary>Whether it means something with <c>completion-mode: grouped</c>.</summary>
    public virtual bool SupportsGrouping => false;

    /// <summary>Whether it needs closed doors even when it is alone.</summary>
    public virtual bool NeedsInstant => false;

    /// <summary>Whether the graph must stay as it is from before Prepare to the end of Clean.</summary>
    public virtual bool HoldsGraph => NeedsInstant;

    /// <summary>Creates and opens what is needed, reserves names; before any door closes. Resumes as turns.</summary>
    /// <exception cref="QmpException">It cannot be done; what was begun here has been undone.</exception>
    public virtual ValueTask OpenAsync() => default;

    /// <summary>Undoes <see cref="OpenAsync"/>.</summary>
    public virtual ValueTask UndoOpenAsync() => default;

    /// <summary>The nodes whose doors must be closed; asked after Open. Names that do not exist are left for Prepare to refuse.</summary>
    public virtual IEnumerable<BlockNode> DrainedNodes => [];

    /// <summary>Does on the medium what must be done at the instant, behind closed doors. A failure is kept for <see cref="Prepare"/>. Resumes as turns.</summary>
    public virtual ValueTask CaptureAsync() => default;

    /// <summary>Undoes <see cref="CaptureAsync"/>, if it did something; the doors are still closed. Resumes as turns.</summary>
    public virtual ValueTask UndoCaptureAsync() => default;

    /// <summary>Does the action in memory, such that <see cref="Abort"/> can undo it. Never waits.</summary>
    /// <exception cref="QmpException">It cannot be done; nothing was changed.</exception>
    public abstract void Prepare();

    /// <summary>Makes the action final, in memory. Cannot fail and never waits.</summary>
    public virtual void Commit()
    {
    }

    /// <summary>Undoes <see cref="Prepare"/>, in memory. Cannot fail and never waits.</summary>
    public virtual void Abort()
    {
    }

    /// <summary>The doors are open again: lets go to work what the commit has started. Cannot fail and never waits.</summary>
    public virtual void Proceed()
    {
    }

    /// <summary>Brings to disk what follows from the commit. Resumes as turns.</summary>
    /// <exception cref="BlockIoException">The medium failed; the transaction stands, the failure is logged.</exception>
    public virtual ValueTask CleanAsync() => default;
}
