using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Malformed images, opened by us and by the real daemon: both refuse with the same words, or both serve.</summary>
public sealed class MalformedImageTests
{
    private const string Encryption = "QEMU asks for the key, which would not help here";
    private const string BeyondTheFile = "a table beyond the end of the file is refused; QEMU reads zeroes there, takes all for free or clean, and overwrites what is";

    /// <summary>Where we answer otherwise, and why: the whole description of the image, or its beginning.</summary>
    private static readonly Dictionary<string, string> s_exceptions = new()
    {
        ["plain, encryption method 1"] = Encryption,
        ["v2, encryption method 1"] = Encryption,
        ["plain, LUKS"] = Encryption,
        ["aes"] = Encryption,
        ["plain, L1 offset"] = BeyondTheFile,
        ["plain, refcount table offset 80"] = BeyondTheFile,
        ["plain, cut to"] = BeyondTheFile,
        ["v2, cut to"] = BeyondTheFile,
        ["backing, cut to"] = BeyondTheFile,
        ["snapshots, cut to"] = BeyondTheFile,
        ["bitmaps, cut to"] = BeyondTheFile,
        ["bitmaps, a bitmap directory beyond the file"] = BeyondTheFile,
        ["bitmaps, bitmap's table 10000000000"] = BeyondTheFile,
        ["bitmaps, bitmap's table 8000000000000000"] = "EINVAL, not EIO, for an offset with bits that none has",
        ["bitmaps, bitmap's extra data ffffffff"] = "the entry reaches beyond the directory; QEMU adds its parts up in 32 bits and sees a small one",
    };

    private TemporaryDirectory _whole = null!;

    [OneTimeSetUp]
    public void MakeWholeImages()
    {
        _whole = new TemporaryDirectory();
        MalformedImages.MakeWholeImages(_whole);
    }

    [OneTimeTearDown]
    public void RemoveWholeImages() => _whole.Dispose();

    [TestCase(true)]
    [TestCase(false)]
    public async Task Both_daemons_say_the_same_of_a_malformed_image(bool readOnly)
    {
        List<string> ours = await OpenAllAsync(_whole, Repository.Daemon, readOnly);
        List<string> theirs = await OpenAllAsync(_whole, "qemu-storage-daemon", readOnly);
        IEnumerable<string> differences =
            from image in MalformedImages.All().Zip(ours, theirs)
            where image.Second != image.Third && !s_exceptions.Keys.Any(known => image.First.ToString().StartsWith(known, StringComparison.Ordinal))
            select $"{image.First}\n  theirs {image.Third}\n  ours   {image.Second}";
        Assert.That(string.Join('\n', differences), Is.Empty);
    }

    private static async Task<List<string>> OpenAllAsync(TemporaryDirectory whole, string program, bool readOnly)
    {
        using var directory = new TemporaryDirectory();
        foreach (string name in (string[])["below", "data"])
        {
            File.Copy(whole.File(name), directory.File(name));
        }

        await using DaemonProcess daemon = DaemonProcess.Start(program, directory);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        var answers = new List<string>();
        foreach (MalformedImage image in MalformedImages.All())
        {
            await File.WriteAllBytesAsync(directory.File("image"), image.Spoil(await File.ReadAllBytesAsync(whole.File(image.Whole))));
            string answer = await OpenAsync(qmp, image.Options(directory.File("image"), readOnly));
            answers.Add(answer.Replace(directory.Path, "$DIR", StringComparison.Ordinal));
        }

        return answers;
    }

    /// <summary>Opens and closes an image.</summary>
    /// <returns>The refusal, or what is said of the image.</returns>
    private static async Task<string> OpenAsync(QmpTestClient qmp, JsonObject options)
    {
        JsonObject reply = await qmp.SendAsync("blockdev-add", options);
        if (reply["error"] is { } error)
        {
            return (string)error["desc"]!;
        }

        JsonNode nodes = await qmp.ExecuteAsync("query-named-block-nodes");
        JsonObject image = nodes.AsArray().First(node => (string?)node!["node-name"] == "q")!["image"]!.AsObject();
        image.Remove("actual-size");
        foreach (JsonNode? snapshot in image["snapshots"]?.AsArray() ?? [])
        {
            snapshot!.AsObject().Remove("date-sec");
            snapshot.AsObject().Remove("date-nsec");
        }

        await qmp.ExecuteAsync("blockdev-del", """{"node-name": "q"}""");
        return Sorted(image)!.ToJsonString();
    }

    /// <summary>With members in order of their names.</summary>
    private static JsonNode? Sorted(JsonNode? node) => node switch
    {
        JsonObject members => new JsonObject(members.OrderBy(m => m.Key, StringComparer.Ordinal).Select(m => KeyValuePair.Create(m.Key, Sorted(m.Value)))),
        JsonArray items => new JsonArray([.. items.Select(Sorted)]),
        _ => node?.DeepClone(),
    };
}
