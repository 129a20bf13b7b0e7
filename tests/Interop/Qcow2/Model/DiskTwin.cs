namespace Interop.Qcow2.Model;

/// <summary>What an image must show: the disk's bytes, its snapshots', its bitmaps.</summary>
internal sealed class DiskTwin(byte[] below, long sizeBytes)
{
    /// <summary>What shows through where the image holds nothing.</summary>
    public byte[] Below { get; } = below;

    public byte[] Bytes { get; private set; } = Resized(below, sizeBytes);

    /// <summary>Name and content, oldest first.</summary>
    public List<(string Name, byte[] Bytes)> Snapshots { get; } = [];

    public Dictionary<string, LooseBitmap> Bitmaps { get; } = [];

    /// <summary>Names are used once.</summary>
    public int Names { get; set; }

    /// <summary>Shortens the disk, or lengthens it by zeroes.</summary>
    public void Resize(long bytes)
    {
        Bytes = Resized(Bytes, bytes);
        foreach (LooseBitmap bitmap in Bitmaps.Values)
        {
            bitmap.Resize(bytes);
        }
    }

    public void Apply(byte[] snapshot) => Bytes = [.. snapshot];

    /// <summary>A byte array cut or filled up with zeroes.</summary>
    public static byte[] Resized(byte[] bytes, long length)
    {
        byte[] resized = new byte[length];
        bytes.AsSpan(0, (int)Math.Min(length, bytes.Length)).CopyTo(resized);
        return resized;
    }
}
