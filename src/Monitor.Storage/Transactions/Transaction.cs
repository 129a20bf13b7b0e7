using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary>Carries out several steps at one instant, or none of them.</summary>
/// <remarks>
/// <para>The idea: whatever may fail or take long comes before the instant (Open) or after it (Clean). In between, with the doors above the
/// nodes closed, one turn prepares every step in memory and then commits them all, so nobody ever sees a half of it. What must reach
/// the medium at the instant (Capture: an internal snapshot) is done right before that turn, and undone if the turn refuses.</para>
/// <para>Example: disable b0, add b1. Doors close and the requests inside leave; b0 is disabled, b1 added; doors open. A guest write is
/// recorded by b0 or by b1, never by neither and never by both.</para>
/// <para>Cost: a single step that needs no instant closes no door and takes no gate.</para>
/// </remarks>
public sealed class Transaction
{
    private readonly BlockGraph _graph;
    private readonly IReadOnlyList<TransactionStep> _steps;
    private readonly bool _grouped;

    private Transaction(BlockGraph graph, IReadOnlyList<TransactionStep> steps, bool grouped)
    {
        _graph = graph;
        _steps = steps;
        _grouped = grouped;
    }

    /// <summary>Carries the steps out; called in a turn, resumes as turns.</summary>
    /// <param name="graph">The graph the steps work on.</param>
    /// <param name="steps">In the client's order.</param>
    /// <param name="grouped">Whether the client asked for <c>completion-mode: grouped</c>.</param>
    /// <exception cref="QmpException">A step could not be done; everything is as before.</exception>
    public static ValueTask RunAsync(BlockGraph graph, IReadOnlyList<TransactionStep> steps, bool grouped = false) =>
        new Transaction(graph, steps, grouped).RunAsync();

    private async ValueTask RunAsync()
    {
        await OpenAllAsync();
        try
        {
            bool closesDoors = _steps.Count > 1 || Any(step => step.NeedsInstant);
            using GraphChange? change = closesDoors || Any(step => step.HoldsGraph) ? await _graph.ChangeAsync() : null;
            using (closesDoors ? await _graph.DrainAsync(DrainedNodes()) : null)
            {
                await CaptureAndPrepareAsync();
                CommitAll();
            }

            ProceedAll();
            await CleanAllAsync();
        }
        catch (QmpException)
        {
            await UndoOpenAsync(_steps.Count);
            throw;
        }
    }

    private bool Any(Predicate<TransactionStep> condition)
    {
        foreach (TransactionStep step in _steps)
        {
            if (condition(step))
            {
                return true;
            }
        }

        return false;
    }

    private HashSet<BlockNode> DrainedNodes()
    {
        var nodes = new HashSet<BlockNode>();
        foreach (TransactionStep step in _steps)
        {
            nodes.UnionWith(step.DrainedNodes);
        }

        return nodes;
    }

    private async ValueTask OpenAllAsync()
    {
        for (int opened = 0; opened < _steps.Count; opened++)
        {
            try
            {
                await _steps[opened].OpenAsync();
            }
            catch (QmpException)
            {
                await UndoOpenAsync(opened);
                throw;
            }
        }
    }

    private async ValueTask UndoOpenAsync(int opened)
    {
        while (--opened >= 0)
        {
            await _steps[opened].UndoOpenAsync();
        }
    }

    private async ValueTask CaptureAndPrepareAsync()
    {
        foreach (TransactionStep step in _steps)
        {
            await step.CaptureAsync();
        }

        try
        {
            PrepareAll();
        }
        catch (QmpException)
        {
            for (int i = _steps.Count - 1; i >= 0; i--)
            {
                await _steps[i].UndoCaptureAsync();
            }

            throw;
        }
    }

    private void PrepareAll()
    {
        for (int prepared = 0; prepared < _steps.Count; prepared++)
        {
            try
            {
                CheckGrouping(_steps[prepared]);
                _steps[prepared].Prepare();
            }
            catch (QmpException)
            {
                while (--prepared >= 0)
                {
                    _steps[prepared].Abort();
                }

                throw;
            }
        }
    }

    private void CheckGrouping(TransactionStep step)
    {
        if (_grouped && !step.SupportsGrouping)
        {
            throw new QmpException($"Action '{step.ActionName}' does not support Transaction property completion-mode = grouped");
        }
    }

    private void CommitAll()
    {
        foreach (TransactionStep step in _steps)
        {
            step.Commit();
        }
    }

    private void ProceedAll()
    {
        foreach (TransactionStep step in _steps)
        {
            step.Proceed();
        }
    }

    private async ValueTask CleanAllAsync()
    {
        foreach (TransactionStep step in _steps)
        {
            try
            {
                await step.CleanAsync();
            }
            catch (BlockIoException e)
            {
                DaemonLog.Warn("Storage", $"{step.ActionName}: the image does not show it yet: {e.Message}");
            }
        }
    }
}
