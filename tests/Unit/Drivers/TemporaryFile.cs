namespace Unit.Drivers;

/// <summary>A file in the temporary directory that ends with its test.</summary>
public sealed class TemporaryFile : IDisposable
{
    public TemporaryFile(long sizeBytes = 0)
    {
        using FileStream file = File.Create(Name);
        file.SetLength(sizeBytes);
    }

    public string Name { get; } = Path.Combine(Path.GetTempPath(), $"unit-{Guid.NewGuid():N}");

    public void Dispose() => File.Delete(Name);
}
