using System.Buffers.Binary;
using System.Text.Json.Nodes;

namespace Conformance;

/// <summary>One way to spoil an image: a whole one, and what is changed in it.</summary>
/// <param name="Whole">Which whole image; see <see cref="MalformedImages.MakeWholeImages"/>.</param>
/// <param name="What">What is wrong with it.</param>
/// <param name="Spoil">From the whole image to the spoiled one.</param>
public sealed record MalformedImage(string Whole, string What, Func<byte[], byte[]> Spoil)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Whole}, {What}";

    /// <summary>A field of the header is another.</summary>
    public static MalformedImage Field(string whole, string name, int offset, int bytes, ulong value) =>
        new(whole, $"{name} {value:x}", image => Put(image, offset, bytes, value));

    /// <summary>The header extensions are others; data is padded to 8 bytes and the end is marked.</summary>
    public static MalformedImage Extensions(string whole, string what, params (uint Type, byte[] Data)[] extensions) => new(whole, what, image =>
    {
        int at = BinaryPrimitives.ReadInt32BigEndian(image.AsSpan(100));
        foreach ((uint type, byte[] data) in extensions)
        {
            Put(image, at, 4, type);
            Put(image, at + 4, 4, (uint)data.Length);
            data.CopyTo(image, at + 8);
            at += 8 + ((data.Length + 7) & ~7);
        }

        return Put(image, at, 8, 0);
    });

    /// <summary>Only the first bytes are left.</summary>
    public static MalformedImage Cut(string whole, int bytes) => new(whole, $"cut to {bytes}", image => image[..Math.Min(bytes, image.Length)]);

    /// <summary>A field behind a pointer in the header is another.</summary>
    public static MalformedImage Behind(string whole, string name, int pointer, int offset, int bytes, ulong value) => new(
        whole, $"{name} {value:x}", image => Put(image, (int)(BinaryPrimitives.ReadUInt64BigEndian(image.AsSpan(pointer)) & 0xFFFF_FFFF) + offset, bytes, value));

    /// <summary>This and another change at once.</summary>
    public MalformedImage And(MalformedImage other) => new(Whole, $"{What}, {other.What}", image => other.Spoil(Spoil(image)));

    /// <summary>The arguments of <c>blockdev-add</c>; the data file, if it has one, lies beside it as <c>data</c>.</summary>
    public JsonObject Options(string path, bool readOnly)
    {
        var options = new JsonObject { ["driver"] = "qcow2", ["node-name"] = "q", ["read-only"] = readOnly, ["discard"] = "unmap", ["file"] = FileOptions(path) };
        if (Whole == MalformedImages.WithDataFile)
        {
            options["data-file"] = FileOptions(Path.Combine(Path.GetDirectoryName(path)!, "data"));
        }

        return options;
    }

    private static JsonObject FileOptions(string path) => new() { ["driver"] = "file", ["filename"] = path };

    private static byte[] Put(byte[] image, int offset, int bytes, ulong value)
    {
        Span<byte> all = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(all, value);
        all[^bytes..].CopyTo(image.AsSpan(offset));
        return image;
    }
}
