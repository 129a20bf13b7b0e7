using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>A scripted life of an image that ends where the power fails, and what must be there afterwards.</summary>
/// <remarks>
/// Bytes written, zeroed or discarded since the last flush may be anything; all others are what was flushed. A snapshot that was taken is
/// there, one that was deleted is not, each with the bytes it had. A bitmap is exact or says that it is in use.
/// </remarks>
internal sealed class CrashRun(CrashImage image, int seed)
{
    private const int Requests = 30;
    private const int MostSnapshots = 2;

    private readonly Random _random = new(seed);
    private readonly Dictionary<string, byte[]> _snapshots = [];
    private readonly HashSet<string> _uncertain = [];
    private readonly Dictionary<string, string> _exact = [];
    private byte[] _twin = image.Below(image.SizeBytes);
    private byte[] _flushed = image.Below(image.SizeBytes);
    private bool[] _touched = new bool[image.SizeBytes];
    private long? _sizeUnderWay;
    private int _names;

    /// <summary>Runs until the script ends or the power fails.</summary>
    /// <returns>Whether it ended.</returns>
    public async Task<bool> RunAsync()
    {
        try
        {
            Qcow2Node node = await image.OpenAsync();
            if (image.HasBitmaps)
            {
                node.Bitmaps.Add("bitmap", 4096, persistent: true);
                NoteBitmaps(node);
            }

            for (int i = 0; i < Requests; i++)
            {
                if (i == Requests / 2)
                {
                    await node.CloseAsync();
                    if (image.Power.HasStopped)
                    {
                        return false;
                    }

                    node = await image.OpenAsync();
                }

                await RequestAsync(node);
            }

            await node.CloseAsync();
        }
        catch (BlockIoException) when (image.Power.HasStopped)
        {
            return false;
        }

        return !image.Power.HasStopped;
    }

    /// <summary>Asserts that an image that was left holds what it must.</summary>
    public async Task CheckAsync(CrashImage left, string name)
    {
        Qcow2Node node = await left.OpenAsync();
        Assert.That(node.SizeBytes, Is.EqualTo(_twin.Length).Or.EqualTo(_sizeUnderWay ?? _twin.Length), name);
        CheckFlushed(await TestImage.ReadAllAsync(node), name);
        if (left.IsRaw)
        {
            CheckFlushed(left.DataBytes, $"{name}, the raw data file");
        }

        await CheckSnapshotsAsync(left, node, name);
        foreach (DirtyBitmap bitmap in node.Bitmaps.Named().Where(bitmap => !bitmap.IsInconsistent))
        {
            Assert.That(node.Bitmaps.Sha256(bitmap), Is.EqualTo(_exact[bitmap.Name!]), $"{name}: the bitmap");
        }
    }

    private void CheckFlushed(byte[] now, string name)
    {
        for (int i = 0; i < Math.Min(now.Length, _flushed.Length); i++)
        {
            if (!_touched[i] && now[i] != _flushed[i])
            {
                Assert.Fail($"{name}: byte {i} was flushed as {_flushed[i]} and is {now[i]}");
            }
        }
    }

    private async Task CheckSnapshotsAsync(CrashImage left, Qcow2Node node, string name)
    {
        var present = node.ListSnapshots().Select(snapshot => snapshot.Name).ToHashSet();
        Assert.That(_snapshots.Keys.Except(_uncertain).Except(present), Is.Empty, $"{name}: a snapshot is lost");
        Assert.That(present.Except(_snapshots.Keys), Is.Empty, $"{name}: a snapshot is back");
        foreach (string snapshot in present)
        {
            Qcow2Node view = await left.OpenAsync(snapshot);
            Assert.That(TestImage.FirstDifference(await TestImage.ReadAllAsync(view), _snapshots[snapshot]), Is.EqualTo(-1), $"{name}: {snapshot}");
        }
    }

    private async Task RequestAsync(Qcow2Node node)
    {
        int cluster = node.ClusterSizeBytes;
        int offset = _random.Next(_twin.Length);
        int length = Math.Min(_twin.Length - offset, _random.Next(1, 3 * cluster));
        int whole = offset / cluster * cluster;
        int kind = _random.Next(20);
        switch (kind)
        {
            case < 7:
                byte[] data = new byte[length];
                _random.NextBytes(data);
                await ChangeAsync(node, offset, data, () => node.WriteAsync(offset, data));
                break;
            case 7 or 8:
                await ChangeAsync(node, offset, new byte[length], () => node.WriteZeroesAsync(offset, length, kind == 7 ? BlockWriteFlags.MayUnmap : BlockWriteFlags.None));
                break;
            case 9 or 10:
                int many = Math.Min(_twin.Length, whole + (8 * cluster)) - whole;
                await ChangeAsync(node, whole, image.Discarded(whole, many), () => node.DiscardAsync(whole, many));
                break;
            case 11 or 12:
                byte[] compressible = new byte[Math.Min(_twin.Length - whole, cluster)];
                compressible.AsSpan(0, compressible.Length / 2).Fill((byte)_random.Next(1, 256));
                await WriteCompressedAsync(node, whole, compressible);
                break;
            case 13 or 14:
                await node.FlushAsync();
                _touched.AsSpan().Clear();
                _twin.CopyTo(_flushed, 0);
                break;
            case 15:
                await ResizeAsync(node, 512 * _random.Next(1, (image.SizeBytes / 512) + 20));
                break;
            default:
                await ChangeSnapshotsAsync(node);
                break;
        }
    }

    private async Task WriteCompressedAsync(Qcow2Node node, int offset, byte[] data)
    {
        byte[] before = _twin[offset..(offset + data.Length)];
        try
        {
            await ChangeAsync(node, offset, data, () => node.WriteAsync(offset, data, BlockWriteFlags.Compressed));
        }
        catch (BlockIoException) when (!image.Power.HasStopped)
        {
            // Something is stored there already, or data is in another file.
            before.CopyTo(_twin, offset);
        }
    }

    private async Task ChangeAsync(Qcow2Node node, int offset, byte[] bytes, Func<ValueTask> change)
    {
        _touched.AsSpan(offset, bytes.Length).Fill(true);
        bytes.CopyTo(_twin, offset);
        _exact.Clear();
        try
        {
            await change();
        }
        finally
        {
            NoteBitmaps(node);
        }
    }

    private async Task ResizeAsync(Qcow2Node node, int bytes)
    {
        if (node.Version < 3 && _snapshots.Count > 0)
        {
            return;
        }

        int before = _twin.Length;
        _sizeUnderWay = bytes;
        _exact.Clear();
        if (bytes < before)
        {
            _touched.AsSpan(bytes).Fill(true);
        }

        await node.TruncateAsync(bytes);
        _sizeUnderWay = null;
        Array.Resize(ref _twin, bytes);
        Array.Resize(ref _flushed, bytes);
        Array.Resize(ref _touched, bytes);
        NoteBitmaps(node);
    }

    private async Task ChangeSnapshotsAsync(Qcow2Node node)
    {
        if (!image.HasSnapshots)
        {
            return;
        }

        if (_snapshots.Count < MostSnapshots)
        {
            string name = $"s{_names++}";
            _snapshots.Add(name, [.. _twin]);
            _uncertain.Add(name);
            await node.CreateSnapshotAsync(name, DateTimeOffset.UnixEpoch);
            _uncertain.Clear();
        }
        else
        {
            SnapshotInfo snapshot = node.ListSnapshots()[0];
            _uncertain.Add(snapshot.Name);
            await node.DeleteSnapshotAsync(snapshot.Id, snapshot.Name);
            _snapshots.Remove(snapshot.Name);
            _uncertain.Clear();
        }
    }

    private void NoteBitmaps(Qcow2Node node)
    {
        foreach (DirtyBitmap bitmap in node.Bitmaps.Named())
        {
            _exact[bitmap.Name!] = node.Bitmaps.Sha256(bitmap);
        }
    }
}
