using System.Runtime.InteropServices;

namespace Monitor.Block.Bitmaps;

/// <summary>Which bitmaps of a node record, and how the marks of its log come to them. The caller holds the node's bitmap lock.</summary>
/// <remarks>
/// <para>
/// The idea: a job looks at its own bitmap after every few writes; the clients' bitmaps, of which there may be a thousand, are looked at
/// once an hour. So a fold on behalf of a job brings the marks into the jobs' bitmaps and into one more, "gathered"; only a fold on behalf
/// of a client hands what was gathered to all others, whole leaves at a time. Then a mirror that copies while the guest writes costs the
/// same with no bitmap and with a thousand.
/// </para>
/// <para>
/// Example: a mirror and 64 bitmaps record. A write marks the log; the mirror's next look sets its bit in two bitmaps; a query an hour later
/// gives the 64 the leaves gathered since, and as all 64 have the same history they go on sharing them.
/// </para>
/// <para>
/// Whoever changes a bitmap's flags, content or membership calls <see cref="Fold"/> before and <see cref="Update"/> after, so what was
/// gathered always belongs to the present set.
/// </para>
/// </remarks>
/// <param name="owner">The node's bitmaps.</param>
/// <param name="all">All of them.</param>
internal sealed class RecordingBitmaps(NodeBitmaps owner, IReadOnlyList<DirtyBitmap> all)
{
    /// <summary>After so many folds in a row, each met by new marks, the last one has to do: some milliseconds at most.</summary>
    private const int MostFolds = 1000;

    private readonly WriteLog _log = new(owner.SizeBytes);
    private readonly List<HierarchicalBitmap> _sameGranularity = [];
    private DirtyBitmap[] _atOnce = [];
    private DirtyBitmap[] _later = [];
    private DirtyBitmap? _gathered;
    private uint? _finest;
    private bool _isStale;

    /// <summary>Notes that a write to a byte range ended, well or not. Lock-free, from any thread, without the lock.</summary>
    internal void Mark(long offset, long length) => _log.Mark(offset, length);

    /// <summary>Brings what was written into every recording bitmap, as it was at one instant (see <see cref="WriteLog"/>).</summary>
    internal void Fold()
    {
        for (int folds = 0; folds < MostFolds && _log.HasMarks; folds++)
            FoldForJobs();
        HandOut();
    }

    /// <summary>Brings what was written into the bitmaps without a name.</summary>
    internal void FoldForJobs()
    {
        if (!_log.HasMarks)
            return;
        if (_isStale)
            Sort();
        _log.Fold(_atOnce);
    }

    /// <summary>Notes that a bitmap was added.</summary>
    internal void Add(DirtyBitmap bitmap)
    {
        if (bitmap.RecordsWrites)
            Record(Math.Min(_finest ?? uint.MaxValue, bitmap.Granularity));
    }

    /// <summary>Notes that something else changed in who records.</summary>
    internal void Update()
    {
        uint? finest = null;
        foreach (DirtyBitmap bitmap in all)
        {
            if (bitmap.RecordsWrites)
                finest = Math.Min(finest ?? uint.MaxValue, bitmap.Granularity);
        }

        Record(finest);
    }

    /// <summary>Follows a change of the node's size; <see cref="Update"/> comes next.</summary>
    internal void Resize(long sizeBytes) => _log.Resize(sizeBytes);

    /// <summary>Gives the others what was gathered for them.</summary>
    private void HandOut()
    {
        if (_gathered is not { Content: { DirtyBytes: > 0 } gathered })
            return;
        _gathered.Content = new HierarchicalBitmap(gathered.SizeBytes, gathered.Granularity);
        _sameGranularity.Clear();
        foreach (DirtyBitmap bitmap in _later)
        {
            if (bitmap.Granularity == gathered.Granularity)
                _sameGranularity.Add(bitmap.Content);
            else
                bitmap.Content.Merge(gathered);
        }

        HierarchicalBitmap.MergeInto(CollectionsMarshal.AsSpan(_sameGranularity), gathered);
        _sameGranularity.Clear();
    }

    private void Record(uint? finest)
    {
        _finest = finest;
        _log.Record(finest);
        _isStale = true;
    }

    /// <summary>Finds anew who gets marks at once and who later; nothing is gathered now.</summary>
    private void Sort()
    {
        var atOnce = new List<DirtyBitmap>();
        var later = new List<DirtyBitmap>();
        foreach (DirtyBitmap bitmap in all)
        {
            if (bitmap.RecordsWrites)
                (bitmap.Name is null ? atOnce : later).Add(bitmap);
        }

        _gathered = null;
        if (later.Count == 1)
        {
            atOnce.AddRange(later);
            later.Clear();
        }
        else if (later.Count > 1)
        {
            _gathered = new DirtyBitmap(owner, null, new HierarchicalBitmap(owner.SizeBytes, _finest!.Value));
            atOnce.Add(_gathered);
        }

        _atOnce = [.. atOnce];
        _later = [.. later];
        _isStale = false;
    }
}
