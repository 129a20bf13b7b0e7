namespace Unit.Qcow2;

/// <summary>The bytes of a storage, kept in pages so that far offsets cost nothing.</summary>
internal sealed class StorageContent
{
    private const int PageBytes = 4096;

    private readonly Dictionary<long, byte[]> _pages = [];

    public long Length { get; set; }

    public StorageContent Clone()
    {
        var clone = new StorageContent { Length = Length };
        foreach ((long page, byte[] bytes) in _pages)
        {
            clone._pages[page] = [.. bytes];
        }

        return clone;
    }

    public void Read(long offset, Span<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            int inPage = (int)(offset % PageBytes);
            Span<byte> part = buffer[..Math.Min(buffer.Length, PageBytes - inPage)];
            if (_pages.TryGetValue(offset / PageBytes, out byte[]? page))
            {
                page.AsSpan(inPage, part.Length).CopyTo(part);
            }
            else
            {
                part.Clear();
            }

            offset += part.Length;
            buffer = buffer[part.Length..];
        }
    }

    public void Write(long offset, ReadOnlySpan<byte> buffer)
    {
        Length = Math.Max(Length, offset + buffer.Length);
        while (!buffer.IsEmpty)
        {
            int inPage = (int)(offset % PageBytes);
            ReadOnlySpan<byte> part = buffer[..Math.Min(buffer.Length, PageBytes - inPage)];
            if (!_pages.TryGetValue(offset / PageBytes, out byte[]? page))
            {
                _pages[offset / PageBytes] = page = new byte[PageBytes];
            }

            part.CopyTo(page.AsSpan(inPage));
            offset += part.Length;
            buffer = buffer[part.Length..];
        }
    }

    public byte[] ToArray()
    {
        byte[] all = new byte[Length];
        Read(0, all);
        return all;
    }

    public static StorageContent From(ReadOnlySpan<byte> bytes)
    {
        var content = new StorageContent();
        content.Write(0, bytes);
        return content;
    }

    public void Truncate(long length)
    {
        for (long at = length; at < Length;)
        {
            int part = (int)Math.Min(Length - at, PageBytes - (at % PageBytes));
            if (_pages.TryGetValue(at / PageBytes, out byte[]? page))
            {
                page.AsSpan((int)(at % PageBytes), part).Clear();
            }

            at += part;
        }

        Length = length;
    }
}
