using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Checks an image's structures against each other and repairs what can be; finds what <c>qemu-img check</c> finds.</summary>
/// <remarks>
/// <para>Idea: count all references (<see cref="ReferenceWalk"/>), compare with the refcounts, compare those with the COPIED flags. A repair
/// takes the references for true and switches to new refcounts and tables that agree with them (<see cref="TableGeneration"/>), by one write
/// of the header that also clears the dirty and corrupt bits: a crash leaves the image as it was.</para>
/// <para>Example: a cluster with refcount 2 and one reference is a leak; with refcount 1 and two references a corruption, for giving one of
/// them back would free it under the other.</para>
/// <para>Cost: every L2 table is read once, for a repair twice; eight bytes of memory per cluster in use. A repair is alone with the image; to
/// compare it may be in use (<see cref="CheckPass"/>).</para>
/// </remarks>
internal sealed class Qcow2Check
{
    private const int MostAtOnce = 1024;

    private readonly ImageFile _file;
    private readonly Qcow2HeaderCluster _first;
    private readonly Qcow2Header _header;
    private readonly CheckedTables _tables;
    private readonly ImageCheckFix _fix;
    private readonly CheckPass _pass;
    private long _end;

    /// <summary>Prepares a check.</summary>
    /// <param name="file">The image's file; all tables have been written.</param>
    /// <param name="first">Its first cluster.</param>
    /// <param name="tables">Its tables.</param>
    /// <param name="fix">What to repair; the file is writable then and nothing else changes the image.</param>
    public Qcow2Check(ImageFile file, Qcow2HeaderCluster first, CheckedTables tables, ImageCheckFix fix)
    {
        (_file, _first, _header, _tables, _fix) = (file, first, first.Header, tables, fix);
        _pass = new CheckPass(file, first, tables, fix);
    }

    /// <summary>What was found; true once the check has ended.</summary>
    public ImageCheckFindings Findings => _pass.Findings;

    /// <summary>The look at the tables, which comes first.</summary>
    public CheckPass Pass => _pass;

    /// <summary>Checks, and repairs what was asked for. Nothing else changes the image.</summary>
    /// <param name="pace">Who wants it; may be null.</param>
    /// <returns>The refcount table afterwards; the same one if nothing was written anew.</returns>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    /// <exception cref="OperationCanceledException">It was to end.</exception>
    public async ValueTask<ulong[]> RepairAsync(IImageCheckPace? pace = null)
    {
        await _pass.BeginAsync().ConfigureAwait(false);
        await _pass.RunAsync(new CheckSteps(_file, pace, shared: null)).ConfigureAwait(false);
        (ulong[] usable, int damaged) = _pass.CountRefcounts();
        (long corruptions, long leaks, bool isMissing) = Compare();
        bool mustRebuild = damaged > 0 || isMissing || _pass.Stored.HasUnreadable;
        bool fixes = _fix == ImageCheckFix.All || (_fix == ImageCheckFix.Leaks && !mustRebuild);
        if (fixes)
        {
            Findings.Fix(_fix == ImageCheckFix.All ? corruptions + damaged : 0, leaks);
            Findings.CheckErrors = 0;
        }

        var tables = new TableGeneration(_file, _first, _pass.Counts, _tables.L1, usable);
        bool renews = fixes && (corruptions + leaks > 0 || mustRebuild);
        if (renews)
        {
            tables.ReleaseRefcounts();
        }

        bool fixesFlags = fixes && (_fix == ImageCheckFix.All || Findings is { Corruptions: 0, Leaks: 0 });
        bool wrongFlags = await CheckFlagsAsync(fixes ? cluster => _pass.Counts[cluster] : _pass.Stored.Find, fixesFlags).ConfigureAwait(false);
        bool switches = fixes && await SwitchAsync(tables, renews, wrongFlags && fixesFlags).ConfigureAwait(false);
        Findings.ImageEndOffset = _end << (int)_header.ClusterBits;
        return switches ? tables.RefcountTable : _tables.Refcounts;
    }

    /// <summary>Compares what the look at the tables gathered; the image may change again.</summary>
    /// <returns>Whether all that is wrong are leaks that nothing refers to, each with a refcount of one.</returns>
    public bool Conclude()
    {
        _pass.CountRefcounts();
        long leaks = Compare().Leaks;
        _pass.AddFlags();
        Findings.ImageEndOffset = _end << (int)_header.ClusterBits;
        return leaks == Leaks().Sum(run => run.Count) && Findings is { Corruptions: 0, CheckErrors: 0 };
    }

    /// <summary>Clusters that nothing refers to and whose refcount is one, in runs that can be given back at once.</summary>
    public IEnumerable<ClusterRun> Leaks()
    {
        (long first, long count) = (0, 0);
        foreach (long cluster in ReferenceCounts.Clusters(_pass.Stored.Counts, _pass.Counts))
        {
            if (cluster >= Clusters || _pass.Stored.Counts[cluster] != 1 || _pass.Counts[cluster] != 0)
            {
                continue;
            }

            if (count > 0 && (first + count != cluster || count == MostAtOnce))
            {
                yield return new ClusterRun(first, count);
                count = 0;
            }

            (first, count) = (count == 0 ? cluster : first, count + 1);
        }

        if (count > 0)
        {
            yield return new ClusterRun(first, count);
        }
    }

    /// <summary>Takes note that the leaks have been given back.</summary>
    public void SetLeaksFixed()
    {
        Findings.Fix(0, Findings.Leaks);
        Findings.ImageEndOffset = (_pass.Counts.LastInUse + 1) << (int)_header.ClusterBits;
    }

    /// <summary>Clusters that are compared: those of the file, and what is referred to.</summary>
    private long Clusters => Math.Max(_pass.Stored.FileClusters, _pass.Counts.End);

    private async ValueTask<bool> CheckFlagsAsync(Func<long, ulong?> refcount, bool repairs)
    {
        var flags = new CopiedFlagCheck(L2Layout.For(_header), refcount, Findings, repairs);
        bool wrong = false;
        byte[] table = new byte[_header.ClusterBytes];
        for (int i = 0; i < _tables.L1.Length; i++)
        {
            if ((long)(_tables.L1[i] & Qcow2Format.OffsetMask) is not 0 and long place)
            {
                await _file.ReadAsync(place, table, BlkdebugEvent.L2Load).ConfigureAwait(false);
                wrong |= flags.Check(i, _tables.L1[i], table);
            }
        }

        return wrong;
    }

    /// <summary>Compares refcounts with references. Where a repair is for leaks only, too low refcounts stay what they are.</summary>
    /// <returns>What was found, and whether clusters in use count as free, so that blocks may be missing.</returns>
    private (long Corruptions, long Leaks, bool IsMissing) Compare()
    {
        (long corruptions, long leaks, bool isMissing) = (0, 0, false);
        foreach (long cluster in ReferenceCounts.Clusters(_pass.Stored.Counts, _pass.Counts))
        {
            (uint stored, uint references) = (_pass.Stored.Counts[cluster], _pass.Counts[cluster]);
            if (cluster >= Clusters)
            {
                break;
            }

            _end = stored > 0 || references > 0 ? cluster + 1 : _end;
            if (stored == references || _pass.Stored.Find(cluster) is null)
            {
                continue;
            }

            isMissing |= stored == 0;
            string what = $"cluster {cluster} refcount={stored} reference={references}";
            if (stored < references)
            {
                corruptions++;
                Findings.AddCorruption($"ERROR {what}");
                if (_fix == ImageCheckFix.Leaks)
                {
                    _pass.Counts.TryChange(cluster, (int)stored - (int)references, ReferenceCounts.Maximum);
                }
            }
            else
            {
                leaks++;
                Findings.AddLeak($"Leaked {what}");
            }
        }

        return (corruptions, leaks, isMissing);
    }

    /// <summary>Switches to tables that agree with the references, or clears the header's doubts if these do already.</summary>
    /// <returns>Whether there are new tables.</returns>
    private async ValueTask<bool> SwitchAsync(TableGeneration tables, bool renews, bool wrongFlags)
    {
        const Qcow2IncompatibleFeatures Doubts = Qcow2IncompatibleFeatures.Dirty | Qcow2IncompatibleFeatures.Corrupt;
        tables.Incompatible = Findings.Corruptions == 0 ? _header.Incompatible & ~Doubts : _header.Incompatible;
        if (!renews && !wrongFlags)
        {
            if (tables.Incompatible != _header.Incompatible)
            {
                _header.Incompatible = tables.Incompatible;
                await _first.SwitchAsync(_file).ConfigureAwait(false);
            }

            return false;
        }

        if (!renews)
        {
            tables.ReleaseRefcounts();
        }

        if (wrongFlags && await tables.RenewActiveAsync().ConfigureAwait(false))
        {
            tables.Release((long)_header.L1Offset, _tables.L1.Length * (long)sizeof(ulong));
            await tables.MoveL1Async().ConfigureAwait(false);
        }

        await tables.SwitchAsync().ConfigureAwait(false);
        _end = _pass.Counts.LastInUse + 1;
        return true;
    }
}
