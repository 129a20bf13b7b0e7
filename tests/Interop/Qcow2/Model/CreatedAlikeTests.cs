using System.Buffers.Binary;
using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Interop.Qcow2.Model;

/// <summary>Images made by us and by <c>qemu-img</c> with the same random options: the tool says the same of both, and their headers hold the same.</summary>
public sealed class CreatedAlikeTests
{
    [Test]
    public async Task The_tool_cannot_tell_ours_from_its_own([Range(1, 24)] int seed)
    {
        using var directory = new TemporaryDirectory();
        var random = new Random(seed);
        RandomLayer? below = random.Next(2) == 0 ? null : new RandomLayer(directory.File("below"), random, null);
        await (below?.CreateAsync(byThem: true) ?? Task.CompletedTask);
        var layer = new RandomLayer(directory.File("image"), random, below);
        if (layer.IsRaw)
        {
            return;
        }

        await layer.CreateAsync(byThem: true);
        (string theirs, string theirHeader) = (await InfoAsync(layer.Path), await DescribeHeaderAsync(layer.Path));
        File.Delete(layer.Path);
        await layer.CreateAsync(byThem: false);
        Assert.That(await InfoAsync(layer.Path), Is.EqualTo(theirs), layer.ToString());
        Assert.That(await DescribeHeaderAsync(layer.Path), Is.EqualTo(theirHeader), layer.ToString());
        await QemuTool.CheckAsync(layer.Path);
    }

    private static async Task<string> InfoAsync(string path)
    {
        JsonObject info = JsonNode.Parse(await QemuTool.RunAsync("qemu-img", "info", "--output=json", path))!.AsObject();
        info.Remove("actual-size");
        return info.ToJsonString();
    }

    /// <summary>Version, length, features, and the types and lengths of the extensions.</summary>
    private static async Task<string> DescribeHeaderAsync(string path)
    {
        byte[] image = await File.ReadAllBytesAsync(path);
        bool isNew = image[7] >= 3;
        int at = isNew ? BinaryPrimitives.ReadInt32BigEndian(image.AsSpan(100)) : 72;
        string header = $"{image[7]} {at} {(isNew ? Convert.ToHexString(image.AsSpan(72, 24)) : "")}";
        for (uint type; (type = BinaryPrimitives.ReadUInt32BigEndian(image.AsSpan(at))) != 0;)
        {
            int length = BinaryPrimitives.ReadInt32BigEndian(image.AsSpan(at + 4));
            header += $" {type:x}:{length}";
            at += 8 + ((length + 7) & ~7);
        }

        return header;
    }
}
