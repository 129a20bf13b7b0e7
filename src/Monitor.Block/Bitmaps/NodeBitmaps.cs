using System.Numerics;
using System.Text;
using Monitor.Qapi;

namespace Monitor.Block.Bitmaps;

/// <summary>The dirty bitmaps of one node and the log of its writes.</summary>
/// <remarks>
/// <para>
/// A write marks the log (<see cref="MarkWritten"/>) and is done; every method here that looks at a bitmap, or changes who records, folds
/// the log first, under one leaf lock. So: a write acknowledged before the call is in every bitmap that recorded then; one begun after the
/// return is in every bitmap that records now; one in flight falls on either side. Callers that need one instant over several calls close
/// the doors first.
/// </para>
/// <para>Here: the list, the states and the log. <c>NodeBitmaps.Content.cs</c>: the bits. <c>NodeBitmaps.Commands.cs</c>: what a
/// transaction can undo.</para>
/// </remarks>
public sealed partial class NodeBitmaps
{
    /// <summary>The longest name, in bytes of UTF-8 (qcow2's limit, QEMU's for every bitmap).</summary>
    public const int MaxNameBytes = 1023;

    /// <summary>The finest granularity, bytes.</summary>
    public const uint MinGranularity = 512;

    private readonly Lock _lock = new();
    private readonly string _nodeName;
    private readonly List<DirtyBitmap> _bitmaps = [];
    private readonly Dictionary<string, DirtyBitmap> _byName = [];
    private readonly RecordingBitmaps _recording;

    /// <summary>Makes a node's empty set.</summary>
    /// <param name="sizeBytes">The node's bytes.</param>
    /// <param name="nodeName">The node's name, for error texts.</param>
    public NodeBitmaps(long sizeBytes, string nodeName = "")
    {
        SizeBytes = sizeBytes;
        _nodeName = nodeName;
        _recording = new RecordingBitmaps(this, _bitmaps);
    }

    /// <summary>The node's bytes.</summary>
    public long SizeBytes { get; private set; }

    /// <summary>Where persistent bitmaps go; null if the node's format keeps none.</summary>
    public IBitmapStore? Store { get; set; }

    /// <summary>The granularity a bitmap gets when the client names none: the cluster size, within 4 KiB and 64 KiB.</summary>
    /// <param name="clusterSize">The node's cluster size in bytes, 0 if it has none.</param>
    public static uint DefaultGranularity(long clusterSize) => clusterSize > 0 ? (uint)Math.Clamp(clusterSize, 4096, 65536) : 65536;

    /// <summary>
    /// Notes that a write, successful or not, touched a byte range: called for every one before it is acknowledged. Lock-free, about 1 ns
    /// when nothing records.
    /// </summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes; what lies past the size is ignored.</param>
    public void MarkWritten(long offset, long length) => _recording.Mark(offset, length);

    /// <summary>Refuses a name that no bitmap of a client's can have, wherever it is to be.</summary>
    /// <exception cref="QmpException">It is empty.</exception>
    public static void CheckName(string name)
    {
        if (name.Length == 0)
            throw new QmpException("Bitmap name cannot be empty");
    }

    /// <summary>Adds a client's bitmap, clean.</summary>
    /// <param name="name">Its name, unique on the node.</param>
    /// <param name="granularity">Bytes per bit.</param>
    /// <param name="persistent">Whether to store it in the image.</param>
    /// <param name="disabled">Whether it begins without recording.</param>
    /// <exception cref="QmpException">A bad name or granularity, a duplicate, or the image cannot keep it.</exception>
    public DirtyBitmap Add(string name, uint granularity, bool persistent = false, bool disabled = false)
    {
        CheckName(name);
        if (granularity < MinGranularity || !BitOperations.IsPow2(granularity))
            throw new QmpException("Granularity must be power of 2 and at least 512");
        lock (_lock)
        {
            if (persistent)
                CheckStorable(name, granularity);
            if (FindLocked(name) is not null)
                throw new QmpException($"Bitmap already exists: {name}");
            if (Encoding.UTF8.GetByteCount(name) > MaxNameBytes)
                throw new QmpException($"Bitmap name too long: {name}");
            if (HierarchicalBitmap.GranuleCount(SizeBytes, granularity) > HierarchicalBitmap.MaxGranules)
                throw new QmpException($"Granularity {granularity} is too small for a bitmap of {SizeBytes} bytes");
            var content = new HierarchicalBitmap(SizeBytes, granularity);
            var bitmap = new DirtyBitmap(this, name, content) { IsPersistent = persistent, IsEnabled = !disabled };
            Insert(bitmap);
            return bitmap;
        }
    }

    /// <summary>Adds a job's own bitmap: no name, recording from now on.</summary>
    /// <param name="granularity">Bytes per bit, a power of two, at least 512.</param>
    /// <param name="dirty">Whether it begins all dirty.</param>
    /// <param name="disabled">Whether it records no writes, only what the job sets.</param>
    public DirtyBitmap AddAnonymous(uint granularity, bool dirty = false, bool disabled = false)
    {
        lock (_lock)
        {
            var bitmap = new DirtyBitmap(this, null, new HierarchicalBitmap(SizeBytes, granularity)) { IsEnabled = !disabled };
            if (dirty)
                bitmap.Content.Set(0, SizeBytes);
            Insert(bitmap);
            return bitmap;
        }
    }

    /// <summary>Adds a bitmap that the image holds.</summary>
    /// <param name="name">Its name, not yet on the node.</param>
    /// <param name="content">Its bits, this node's size; the set owns it from now on.</param>
    /// <param name="enabled">Whether it records (the image's <c>auto</c> flag).</param>
    /// <param name="readOnly">Whether the image is open read-only.</param>
    /// <param name="inconsistent">Whether it was in use when the image was left.</param>
    public DirtyBitmap AddStored(string name, HierarchicalBitmap content, bool enabled, bool readOnly, bool inconsistent)
    {
        lock (_lock)
        {
            var bitmap = new DirtyBitmap(this, name, content)
            {
                IsPersistent = true,
                IsEnabled = enabled && !inconsistent,
                IsReadOnly = readOnly,
                IsInconsistent = inconsistent,
            };
            Insert(bitmap);
            return bitmap;
        }
    }

    /// <summary>
    /// Drops a bitmap from memory at once, whatever its state: the end of a removal, of a job's bitmap, of one stored on inactivation.
    /// </summary>
    public void Release(DirtyBitmap bitmap)
    {
        lock (_lock)
        {
            Fold();
            _bitmaps.Remove(bitmap);
            if (bitmap.Name is { } name)
                _byName.Remove(name);
            if (bitmap.Successor is { } successor)
                _bitmaps.Remove(successor);
            _recording.Update();
        }
    }

    /// <summary>The bitmap of that name, or null.</summary>
    public DirtyBitmap? TryFind(string name)
    {
        lock (_lock)
            return FindLocked(name);
    }

    /// <summary>The bitmap of that name.</summary>
    /// <exception cref="QmpException">There is none.</exception>
    public DirtyBitmap Find(string name) => TryFind(name) ?? throw new QmpException($"Dirty bitmap '{name}' not found");

    /// <summary>What a query shows, newest first, jobs' own bitmaps included; all counts taken at one fold.</summary>
    public IReadOnlyList<DirtyBitmapInfo> List()
    {
        lock (_lock)
        {
            if (_bitmaps.Count == 0)
                return [];
            Fold();
            var list = new List<DirtyBitmapInfo>(_bitmaps.Count);
            for (int i = _bitmaps.Count - 1; i >= 0; i--)
            {
                DirtyBitmap bitmap = _bitmaps[i];
                list.Add(new DirtyBitmapInfo(
                    bitmap.Name,
                    bitmap.Content.DirtyBytes,
                    bitmap.Granularity,
                    bitmap.IsRecording,
                    bitmap.IsBusy,
                    bitmap.IsPersistent,
                    bitmap.IsInconsistent));
            }

            return list;
        }
    }

    /// <summary>The bitmaps with a name, newest first.</summary>
    public IReadOnlyList<DirtyBitmap> Named()
    {
        lock (_lock)
        {
            List<DirtyBitmap> named = _bitmaps.FindAll(static bitmap => bitmap.Name is not null);
            named.Reverse();
            return named;
        }
    }

    /// <summary>How many are persistent.</summary>
    public int CountPersistent()
    {
        lock (_lock)
        {
            int count = 0;
            foreach (DirtyBitmap bitmap in _bitmaps)
                count += bitmap.IsPersistent ? 1 : 0;
            return count;
        }
    }

    /// <summary>
    /// Follows a change of the node's size: added bytes are clean. Growing needs no closed doors (a file grows by a write), shrinking does.
    /// </summary>
    /// <param name="sizeBytes">The new size.</param>
    public void Resize(long sizeBytes)
    {
        lock (_lock)
        {
            Fold();
            foreach (DirtyBitmap bitmap in _bitmaps)
                bitmap.Content.Resize(sizeBytes);
            SizeBytes = sizeBytes;
            _recording.Resize(sizeBytes);
            _recording.Update();
        }
    }

    /// <summary>Follows a reopening of a stored bitmap's image. Behind closed doors only.</summary>
    public void SetReadOnly(DirtyBitmap bitmap, bool readOnly)
    {
        lock (_lock)
        {
            Fold();
            bitmap.IsReadOnly = readOnly;
            _recording.Update();
        }
    }

    /// <summary>Claims a bitmap for an operation (an export, a job that only reads it).</summary>
    /// <exception cref="QmpException">It is busy or inconsistent.</exception>
    public void SetBusy(DirtyBitmap bitmap)
    {
        lock (_lock)
        {
            bitmap.CheckUsable(BitmapUse.Read);
            bitmap.Users++;
        }
    }

    /// <summary>Ends a claim of <see cref="SetBusy"/>.</summary>
    public void ClearBusy(DirtyBitmap bitmap)
    {
        lock (_lock)
            bitmap.Users--;
    }

    /// <summary>Refuses to hand the image over while somebody uses a bitmap that goes with it.</summary>
    /// <exception cref="QmpException">One is busy.</exception>
    internal void CheckPersistentUnused()
    {
        lock (_lock)
        {
            foreach (DirtyBitmap bitmap in _bitmaps)
            {
                if (bitmap.IsPersistent)
                    bitmap.CheckUsable(BitmapUse.HandOver);
            }
        }
    }

    private void CheckStorable(string name, uint granularity)
    {
        if (Store is null)
            throw new QmpException($"Can't store persistent bitmaps to {_nodeName}: Operation not supported");
        if (Store.WhyNotStorable(name, granularity) is { } reason)
            throw new QmpException($"Can't make bitmap '{name}' persistent in '{_nodeName}': {reason}");
    }

    private DirtyBitmap? FindLocked(string name) => _byName.GetValueOrDefault(name);

    private void Insert(DirtyBitmap bitmap)
    {
        Fold();
        _bitmaps.Add(bitmap);
        if (bitmap.Name is { } name)
            _byName.Add(name, bitmap);
        _recording.Add(bitmap);
    }

    private void Fold() => _recording.Fold();

    private void Fold(DirtyBitmap bitmap)
    {
        if (bitmap.Name is null)
            _recording.FoldForJobs();
        else
            _recording.Fold();
    }
}
