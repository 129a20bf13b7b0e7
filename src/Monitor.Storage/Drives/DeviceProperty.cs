using System.Text;
using Monitor.Qapi;
using Monitor.Qapi.Keyval;

namespace Monitor.Storage.Drives;

/// <summary>A property of a model of device.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Its type, a word of QOM.</param>
/// <param name="Default">Its value when nobody sets it, as text.</param>
internal sealed record DeviceProperty(string Name, string Type, string Default)
{
    private const ulong MinimumBlockBytes = 512;
    private const ulong MaximumBlockBytes = 2 << 20;

    /// <summary>Reads a value.</summary>
    /// <param name="text">The value as text.</param>
    /// <param name="owner">How refusals name the device; empty where QEMU gives it no name.</param>
    /// <exception cref="QmpException">It is none of the property's type.</exception>
    public QmpValue Parse(string text, string owner = "")
    {
        QmpInputVisitor visitor = KeyvalParser.Parse($"value={text.Replace(",", ",,", StringComparison.Ordinal)}", null);
        visitor.StartStruct(null);
        try
        {
            return Type switch
            {
                "bool" => QmpValue.FromBool(visitor.ReadBool("value")),
                "uint16" => QmpValue.FromInteger(visitor.ReadUInt16("value")),
                "uint32" => QmpValue.FromInteger(visitor.ReadUInt32("value")),
                "int32" => QmpValue.FromInteger(ReadSlot(visitor)),
                "uint64" => QmpValue.FromInteger((long)visitor.ReadUInt64("value")),
                "size" => QmpValue.FromInteger(CheckBlockBytes(visitor.ReadSize("value"), owner)),
                "OnOffAuto" => Known(OnOffAutoWire.TryParse(text, out _), text),
                "BlockdevOnError" => Known(BlockdevOnErrorWire.TryParse(text, out _), text),
                _ => QmpValue.FromString(text),
            };
        }
        catch (QmpException e)
        {
            // The visitor knows the member's name only as "value".
            throw new QmpException(new StringBuilder(e.Message).Replace("'value'", $"'{Name}'").Replace("a size value", "size").ToString());
        }
    }

    /// <summary>Numbers, and places on a PCI bus such as <c>02.0</c> or <c>0x2.0x1</c>.</summary>
    private int ReadSlot(QmpInputVisitor visitor)
    {
        string text = visitor.ReadString("value");
        int dot = text.IndexOf('.', StringComparison.Ordinal);
        if (Name != "addr" || dot < 0)
        {
            return visitor.ReadInt32("value");
        }

        return Hexadecimal(text[..dot]) is { } slot && Hexadecimal(text[(dot + 1)..]) is { } function && function < 8
            ? (slot << 3) | function
            : throw new QmpException($"Property 'virtio-blk-pci.addr' doesn't take value '{text}'");
    }

    private static int? Hexadecimal(string text)
    {
        string digits = text.StartsWith("0x", StringComparison.Ordinal) ? text[2..] : text;
        return int.TryParse(digits, System.Globalization.NumberStyles.HexNumber, null, out int value) && value < 32 ? value : null;
    }

    private long CheckBlockBytes(ulong bytes, string owner)
    {
        if (!Name.EndsWith("_block_size", StringComparison.Ordinal) || bytes == 0)
        {
            return (long)bytes;
        }

        if (bytes is < MinimumBlockBytes or > MaximumBlockBytes)
        {
            throw new QmpException($"Property {owner}.{Name} doesn't take value {bytes} (minimum: {MinimumBlockBytes}, maximum: {MaximumBlockBytes})");
        }

        return (bytes & (bytes - 1)) == 0
            ? (long)bytes
            : throw new QmpException($"Property {owner}.{Name} doesn't take value '{bytes}', it's not a power of 2");
    }

    private QmpValue Known(bool isKnown, string text) =>
        isKnown ? QmpValue.FromString(text) : throw new QmpException($"Parameter '{Name}' does not accept value '{text}'");
}
