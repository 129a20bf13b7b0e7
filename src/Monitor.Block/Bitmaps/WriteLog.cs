using System.Numerics;
using System.Runtime.Intrinsics.X86;

namespace Monitor.Block.Bitmaps;

/// <summary>
/// The one record of a node's writes: marked lock-free by every write, folded into the recording bitmaps when somebody looks.
/// </summary>
/// <remarks>
/// <para>
/// The idea: a write marks the granules it touched here, once, however many bitmaps record; whoever wants to see a bitmap, or to change who
/// records, first takes all marks out and sets them in every bitmap that recorded until now. Marking costs 2–5 ns and allocates nothing
/// once the leaf exists; a fold costs one read if nothing was marked, else one per existing branch plus what was marked.
/// </para>
/// <para>
/// Who does what. A writer, after its data landed (or its write failed) and before it acknowledges: <b>W1</b> ORs its bits into the leaf
/// word, <b>W2</b> then the word's bit into the leaf's summary, <b>W3</b> then the leaf's bit into the branch's summary, <b>W4</b> then the
/// one bit of the map's summary; each OR may be skipped when a read at that very point finds the bits set. A fold, one at a time under the
/// node's lock: <b>F1</b> takes the map's summary, <b>F2</b> then every branch's, <b>F3</b> then each named leaf summary, <b>F4</b> then
/// each named word; "takes" is an exchange with 0, skipped when a read finds 0. All are sequentially consistent read-modify-writes or
/// acquire reads of the same words, and each word alone has one order of changes.
/// </para>
/// <para>
/// <b>No mark is lost.</b> When a writer has done W1 to W4, then for each level the bit was set at some moment at or after the level below
/// it was. Suppose no fold has taken the writer's bit out of the word since W1. Then the word still has it. The summary had its bit at W2,
/// after W1. If it still has it, it names the word; if a fold took it (F3, after W2), that same fold does F4 after F3, so after W1, and
/// takes the bit. The same step leads from the branch to the leaf and from the map to the branch (a writer that does W4 has put its branch
/// in place before). So after the acknowledgement the bit is either reachable from the top,
/// or being taken by the fold now under way, or was taken after W1. The next look waits for the lock, hence for that fold, and sees it. The
/// order matters: a writer that read the summary first and the word later could find the summary set, let a whole fold pass, then OR a word
/// that nothing names.
/// </para>
/// <para>
/// <b>One instant.</b> A fold may take a mark of a high word and miss an earlier one of a low word that it has passed. But no mark's W4
/// can end behind F1 without leaving the map's summary set until the next F1. So if all summaries are clear when a fold has ended, no mark
/// ended meanwhile: what was taken are all marks that ended before F1, and of writes still in flight some. Who must see one instant folds
/// until then.
/// </para>
/// <para>
/// <b>Data before mark.</b> A copier folds, clears the bit in its bitmap, then reads the data. A write whose bit was taken by that fold did
/// W1 before F4, and its data landed before W1, so the copier reads the new data; a later one marks again. For this the writer's data must
/// be visible before its W1 <i>read</i> is served, a store before a load. An OR orders that by itself; on the skipping path x86-64 gives it
/// because the kernel's copy into the page cache ends in locked instructions, other processors get a full fence in <see cref="Mark"/>.
/// </para>
/// <para>
/// <b>Who records.</b> The fence orders the read of the current map as well: a write whose data lands after recording began finds the map.
/// A writer that fetched the map before a change of granularity or size and marks after it was in flight at the change; its map is never
/// dropped: a map of another granularity is put beside the old one, and every fold takes from all maps (one per granularity used, usually
/// one; a file that grows gets a map of twice its size when its capacity ends, so few more). What such a writer leaves in a coarser map
/// dirties its whole coarse granule in a finer bitmap: too much, never too little. A fold before each change of who records takes such late
/// marks out, into the set that recorded so far, so a stale mark never shows up in a bitmap that began to record after its write was
/// acknowledged.
/// </para>
/// </remarks>
internal sealed class WriteLog
{
    private const long MaxDoubled = long.MaxValue / 4;
    private readonly List<WriteLogMap> _maps = [];
    private readonly WriteLogMap?[] _mapByGranularityBits = new WriteLogMap?[32];
    private long _sizeBytes;
    private WriteLogMap? _current;

    /// <summary>Makes a log that records nothing yet.</summary>
    /// <param name="sizeBytes">Bytes of the node.</param>
    internal WriteLog(long sizeBytes) => _sizeBytes = sizeBytes;

    /// <summary>Notes that a write to a byte range ended, well or not; about 1 ns when nothing records. Safe from any thread.</summary>
    internal void Mark(long offset, long length)
    {
        if (!X86Base.IsSupported)
            Interlocked.MemoryBarrier();
        Volatile.Read(ref _current)?.Mark(offset, length);
    }

    /// <summary>Whether there is a mark to take.</summary>
    internal bool HasMarks => _maps.Exists(static map => map.HasMarks);

    /// <summary>Takes all marks, clearing them. The caller holds the node's bitmap lock.</summary>
    /// <param name="takers">The bitmaps in which they become dirty.</param>
    internal void Fold(ReadOnlySpan<DirtyBitmap> takers)
    {
        foreach (WriteLogMap map in _maps)
            map.Take(takers);
    }

    /// <summary>
    /// Says at which granularity writes are marked from now on. The caller holds the node's bitmap lock and has just folded.
    /// </summary>
    /// <param name="granularity">Bytes per bit, a power of two, or null when nothing records.</param>
    internal void Record(uint? granularity)
    {
        WriteLogMap? map = granularity is { } bytes
            ? _mapByGranularityBits[BitOperations.Log2(bytes)] ?? AddMap(BitOperations.Log2(bytes), _sizeBytes)
            : null;
        Interlocked.Exchange(ref _current, map);
    }

    /// <summary>
    /// Follows a change of size; <see cref="Record"/> comes next. The caller holds the node's bitmap lock and has just folded.
    /// </summary>
    /// <param name="sizeBytes">The new size.</param>
    internal void Resize(long sizeBytes)
    {
        _sizeBytes = sizeBytes;
        foreach (WriteLogMap map in _maps.ToArray())
        {
            int bits = Array.IndexOf(_mapByGranularityBits, map);
            if (!map.TryResize(sizeBytes) && bits >= 0)
                AddMap(bits, Math.Max(sizeBytes, Math.Min(sizeBytes, MaxDoubled) * 2));
        }
    }

    private WriteLogMap AddMap(int granularityBits, long capacityBytes)
    {
        var map = new WriteLogMap(_sizeBytes, granularityBits, capacityBytes);
        _mapByGranularityBits[granularityBits] = map;
        _maps.Add(map);
        return map;
    }
}
