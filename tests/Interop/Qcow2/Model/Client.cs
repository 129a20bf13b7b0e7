using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Interop.Qcow2.Model;

/// <summary>What clients ask of an image between and during a guest's requests: bitmaps at any time; snapshots and other sizes while nothing is under way.</summary>
internal sealed class Client(Qcow2Node node, RandomLayer layer, DiskTwin twin, Guest guest)
{
    /// <summary>Bytes per bit, of any bitmap.</summary>
    public const long CoarsestGranularity = 512 << 9;

    private const int MostSnapshots = 3;
    private const int MostBitmaps = 5;

    /// <summary>Changes bitmaps, looks at snapshots, checks: while the guest works.</summary>
    public async Task RunAsync(Random random, int steps)
    {
        for (int i = 0; i < steps; i++)
        {
            await Task.Yield();
            switch (random.Next(12))
            {
                case 0:
                    bool isDone = await node.TryCheckAsync(random.Next(2) == 0 ? ImageCheckFix.None : ImageCheckFix.All);
                    ImageCheckFindings found = node.LastCheck!.Value.Findings;
                    Assert.That((isDone, found.Corruptions + found.Leaks + found.LeaksFixed + found.CheckErrors), Is.EqualTo((true, 0)), () => string.Join('\n', found.Messages));
                    break;
                case 1 when twin.Snapshots.Count > 0:
                    await LookAtSnapshotAsync(twin.Snapshots[random.Next(twin.Snapshots.Count)]);
                    break;
                default:
                    await ChangeBitmapsAsync(random);
                    break;
            }
        }
    }

    /// <summary>Takes or deletes a snapshot, or resizes: with closed doors.</summary>
    public async Task ChangeDiskAsync(Random random)
    {
        switch (random.Next(4))
        {
            case 0:
                await ResizeAsync(512 * random.NextInt64(1, 1 + (2 * (long)layer.Options.Size / 512)));
                break;
            case 1 when twin.Snapshots.Count > 0:
                (string name, _) = twin.Snapshots[random.Next(twin.Snapshots.Count)];
                SnapshotInfo snapshot = node.ListSnapshots().First(s => s.Name == name);
                await node.DeleteSnapshotAsync(snapshot.Id, name);
                twin.Snapshots.RemoveAll(s => s.Name == name);
                break;
            default:
                await TakeSnapshotAsync();
                break;
        }
    }

    private async Task ResizeAsync(long bytes)
    {
        try
        {
            await node.TruncateAsync(bytes);
            twin.Resize(bytes);
        }
        catch (BlockIoException e)
        {
            Assert.That((e.Errno, node.Version, twin.Snapshots.Count > 0), Is.EqualTo((Errno.ENOTSUP, 2, true)), e.Message);
        }
    }

    private async Task TakeSnapshotAsync()
    {
        if (twin.Snapshots.Count == MostSnapshots)
        {
            return;
        }

        string name = $"s{twin.Names++}";
        try
        {
            await node.CreateSnapshotAsync(name, DateTimeOffset.UnixEpoch);
            twin.Snapshots.Add((name, [.. twin.Bytes]));
        }
        catch (BlockIoException e)
        {
            Assert.That(layer.HasDataFile ? e.Errno == Errno.ENOTSUP : e.Errno == Errno.EINVAL && layer.Options.RefcountBits < 4, e.Message);
        }
    }

    private async Task LookAtSnapshotAsync((string Name, byte[] Bytes) snapshot)
    {
        var opened = new List<BlockNode>();
        BlockNode view = await layer.OpenAsync(opened, options: new BlockdevOptionsQcow2 { File = null!, XSnapshot = snapshot.Name });
        byte[] bytes = new byte[view.SizeBytes];
        await view.ReadAsync(0, bytes);
        Assert.That(bytes.AsSpan().SequenceEqual(snapshot.Bytes), snapshot.Name);
        await ImageModelTests.CloseAsync(opened);
    }

    private async Task ChangeBitmapsAsync(Random random)
    {
        string? gone = null;
        lock (guest.Gate)
        {
            if (twin.Bitmaps.Count == 0 || random.Next(4) == 0)
            {
                Add(random);
                return;
            }

            string name = Any(random);
            (DirtyBitmap real, LooseBitmap loose) = (node.Bitmaps.Find(name), twin.Bitmaps[name]);
            switch (random.Next(6))
            {
                case 0:
                    gone = name;
                    node.Bitmaps.PrepareRemove(real);
                    twin.Bitmaps.Remove(name);
                    break;
                case 1:
                    loose.Change(loose.Clear);
                    node.Bitmaps.Clear(real);
                    break;
                case 2 or 3:
                    string source = Any(random);
                    loose.Change(() => loose.Merge(twin.Bitmaps[source]));
                    node.Bitmaps.Merge(real, [node.Bitmaps.Find(source)]);
                    break;
                default:
                    loose.Change(() => loose.IsEnabled = !loose.IsEnabled);
                    _ = loose.IsEnabled ? node.Bitmaps.Enable(real) : node.Bitmaps.Disable(real);
                    break;
            }

            if (gone is null)
            {
                return;
            }

            node.Bitmaps.Release(real);
        }

        await node.Bitmaps.Store!.RemoveGoneAsync();
    }

    private void Add(Random random)
    {
        if (twin.Bitmaps.Count >= MostBitmaps)
        {
            return;
        }

        string name = $"b{twin.Names++}";
        uint granularity = 512u << random.Next(10);
        bool persistent = node.Version >= 3 && random.Next(4) != 0;
        var loose = new LooseBitmap(twin.Bytes.Length, granularity) { IsPersistent = persistent, IsEnabled = random.Next(3) != 0 };
        node.Bitmaps.Add(name, granularity, persistent, disabled: !loose.IsEnabled);
        twin.Bitmaps.Add(name, loose);
    }

    private string Any(Random random) => twin.Bitmaps.Keys.ElementAt(random.Next(twin.Bitmaps.Count));
}
