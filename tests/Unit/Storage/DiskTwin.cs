namespace Unit.Storage;

/// <summary>What a disk of a <see cref="DrainMachine"/> must be: its images, the newest last, and every byte.</summary>
/// <param name="name">Begins the names of its nodes.</param>
/// <param name="sizeBytes">Its size.</param>
internal sealed class DiskTwin(string name, int sizeBytes)
{
    /// <summary>The node that holds requests, above all images.</summary>
    public string Held { get; } = $"{name}-held";

    public List<string> Images { get; } = [$"{name}0"];

    public string Top => Images[^1];

    public byte[] Content { get; set; } = new byte[sizeBytes];

    public string NextImage => $"{name}{Images.Count}";
}
