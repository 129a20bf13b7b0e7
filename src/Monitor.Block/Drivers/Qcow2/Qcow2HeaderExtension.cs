using System.Buffers.Binary;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>One header extension (qcow2 spec, "Header extensions"): a type, a length, that many bytes, padding to 8.</summary>
/// <param name="Type">What it is; unknown ones are kept.</param>
/// <param name="Data">Its bytes, without padding.</param>
internal sealed record Qcow2HeaderExtension(uint Type, byte[] Data)
{
    public const uint End = 0;
    public const uint BackingFormat = 0xE2792ACA;
    public const uint FeatureNames = 0x6803F857;

    /// <summary>The external data file's name.</summary>
    public const uint DataFile = 0x44415441;

    /// <summary>Where the LUKS header of an encrypted image is.</summary>
    public const uint Crypto = 0x0537BE77;

    /// <summary>A type that means nothing to anybody: such an extension fills space.</summary>
    public const uint Padding = 0x50414444;

    /// <summary>Bytes of type and length.</summary>
    public const int PrefixBytes = 8;

    /// <summary>Bytes in the header, padding included.</summary>
    public int TotalBytes => PrefixBytes + ((Data.Length + 7) & ~7);

    /// <summary>Reads all extensions of an area.</summary>
    /// <param name="area">From the end of the header to the backing file's name or the end of the cluster.</param>
    /// <exception cref="QmpException">One reaches beyond the area.</exception>
    public static List<Qcow2HeaderExtension> ReadAll(ReadOnlySpan<byte> area)
    {
        var extensions = new List<Qcow2HeaderExtension>();
        while (area.Length >= PrefixBytes)
        {
            uint type = BinaryPrimitives.ReadUInt32BigEndian(area);
            uint length = BinaryPrimitives.ReadUInt32BigEndian(area[4..]);
            if (length > area.Length - PrefixBytes)
            {
                throw new QmpException("Header extension too large");
            }

            if (type == End)
            {
                break;
            }

            var extension = new Qcow2HeaderExtension(type, area.Slice(PrefixBytes, (int)length).ToArray());
            extensions.Add(extension);
            area = area[Math.Min(extension.TotalBytes, area.Length)..];
        }

        return extensions;
    }

    /// <summary>Writes type, length and data; the padding must be zero already.</summary>
    /// <param name="destination">At least <see cref="TotalBytes"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, Type);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], (uint)Data.Length);
        Data.CopyTo(destination[PrefixBytes..]);
    }
}
