using System.Text;
using Monitor.Qapi.Json;

namespace Monitor.Block;

/// <summary>A node's options as the JSON that names an image, its members in the order in which QEMU writes them.</summary>
/// <remarks>
/// QEMU keeps options in a hash table and writes them as they lie there. Names of images are compared by clients and stored in
/// images, so we write the same: by bucket, and within one bucket the later before the earlier. The hash is that of the TDB library.
/// Example: <c>{"offset": 512, "driver": "raw", "file": {...}}</c>.
/// </remarks>
internal sealed class OptionsText
{
    private const uint Buckets = 512;

    private readonly List<(uint Bucket, string Name, string Json)> _members = [];

    /// <summary>Begins with the driver.</summary>
    public OptionsText(string driver) => AddText("driver", driver);

    /// <summary>Adds a member whose value is JSON already.</summary>
    public OptionsText Add(string name, string json)
    {
        _members.Insert(0, (Hash(name) % Buckets, name, json));
        return this;
    }

    /// <summary>Adds a text.</summary>
    public OptionsText AddText(string name, string text) => Add(name, Quote(text));

    /// <summary>Adds a number unless it is null.</summary>
    public OptionsText Add(string name, long? number) => number is { } value ? Add(name, $"{value}") : this;

    /// <summary>Adds a flag unless it is null.</summary>
    public OptionsText Add(string name, bool? flag) => flag is { } value ? Add(name, value ? "true" : "false") : this;

    /// <summary>A JSON string.</summary>
    public static string Quote(string text) => JsonString.Quote(text);

    /// <inheritdoc/>
    public override string ToString()
    {
        var text = new StringBuilder("{");
        foreach (var (_, name, json) in _members.OrderBy(member => member.Bucket))
        {
            text.Append(text.Length > 1 ? ", " : "").Append(Quote(name)).Append(": ").Append(json);
        }

        return text.Append('}').ToString();
    }

    private static uint Hash(string name)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(name);
        uint value = unchecked(0x238F13AFu * (uint)bytes.Length);
        for (int i = 0; i < bytes.Length; i++)
        {
            value = unchecked(value + ((uint)bytes[i] << (i * 5 % 24)));
        }

        return unchecked((1103515243u * value) + 12345u);
    }
}
