using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>Whatever request fails while an image is created and its space taken: an error, a sound image or none, and the next try succeeds.</summary>
public sealed class Qcow2PreallocationTests
{
    private const int Size = 200 * 1024;

    [Test]
    public async Task A_failed_creation_is_an_error_and_can_be_tried_again(
        [Values(PreallocMode.Off, PreallocMode.Metadata, PreallocMode.Falloc, PreallocMode.Full)] PreallocMode mode, [Values] bool hasDataFile, [Values] bool failsInData)
    {
        int least = !failsInData ? 6 : hasDataFile ? 2 : 0;
        for (int k = 0; ; k++)
        {
            StorageNode? data = hasDataFile ? new StorageNode { FailsOnceAt = failsInData ? k : int.MaxValue } : null;
            var storage = new StorageNode { FailsOnceAt = failsInData ? int.MaxValue : k };
            try
            {
                await CreateAsync(storage, data, mode);
            }
            catch (Exception e) when (e is BlockIoException or QmpException)
            {
                CheckSound(storage, $"request {k}");
                await CreateAsync(storage, data, mode);
            }

            int requests = failsInData ? data?.Requests ?? 0 : storage.Requests;
            CheckSound(storage, $"request {k}, the next try");
            Qcow2Node node = await TestImage.OpenAsync(new StorageNode(storage.Content), dataFile: data is null ? null : new StorageNode(data.Content));
            Assert.That(TestImage.FirstDifference(await TestImage.ReadAllAsync(node), new byte[Size]), Is.EqualTo(-1));
            await node.TryCheckAsync(ImageCheckFix.None);
            Assert.That(node.LastCheck!.Value.Findings.AllocatedClusters, Is.EqualTo(mode == PreallocMode.Off ? 0 : Size / 1024), $"request {k}");
            if (requests <= k)
            {
                Assert.That(k, Is.AtLeast(least));
                return;
            }
        }
    }

    [Test]
    public async Task Space_that_could_not_be_taken_wholly_goes_back([Values(PreallocMode.Falloc, PreallocMode.Full)] PreallocMode mode, [Values] bool hasDataFile)
    {
        StorageNode? data = hasDataFile ? new StorageNode { FailsWrite = offset => offset >= Size / 2 } : null;
        var storage = new StorageNode { FailsWrite = offset => !hasDataFile && offset >= Size / 2 };
        Assert.That(async () => await CreateAsync(storage, data, mode), Throws.TypeOf<QmpException>().With.Message.StartsWith("Could not resize image: "));
        Assert.That(storage.Bytes, Has.Length.LessThan(20 * 1024));
        Qcow2Node node = await TestImage.OpenAsync(storage, dataFile: data);
        await node.TryCheckAsync(ImageCheckFix.None);
        Assert.That((node.SizeBytes, node.LastCheck!.Value.Findings.AllocatedClusters), Is.EqualTo((Size, 0)));
    }

    private static ValueTask CreateAsync(StorageNode storage, StorageNode? data, PreallocMode mode) => Qcow2Image.CreateAsync(
        storage, new BlockdevCreateOptionsQcow2 { File = null!, Size = Size, ClusterSize = 1024, Preallocation = mode }, data);

    /// <summary>A file without the magic is no image, which is sound.</summary>
    private static void CheckSound(StorageNode storage, string name)
    {
        byte[] bytes = storage.Bytes;
        if (bytes.AsSpan().StartsWith("QFI"u8))
        {
            Assert.That(ImageChecker.Check(bytes).Corruptions, Is.Empty, name);
        }
    }
}
