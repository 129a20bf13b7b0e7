using System.Text;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>The image's first cluster: header, extensions, backing file name; written back sector by sector.</summary>
/// <remarks>
/// The bitmaps extension goes where its 24 bytes lie within one 512-byte sector, so that a switch of the bitmap directory is one write
/// that happens wholly or not at all. Only sectors that differ from what the image holds are written.
/// </remarks>
internal sealed class Qcow2HeaderCluster
{
    private byte[] _stored;

    /// <summary>Makes the first cluster from what was read or built.</summary>
    /// <param name="header">The fixed part.</param>
    /// <param name="extensions">In their order.</param>
    /// <param name="backingFile">The backing file's name, if any.</param>
    /// <param name="stored">What the image holds in its first cluster now; zeroes for a new one.</param>
    public Qcow2HeaderCluster(Qcow2Header header, List<Qcow2HeaderExtension> extensions, string? backingFile, byte[] stored)
    {
        Header = header;
        Extensions = extensions;
        BackingFile = backingFile;
        _stored = stored;
    }

    public Qcow2Header Header { get; }

    public List<Qcow2HeaderExtension> Extensions { get; }

    public string? BackingFile { get; set; }

    /// <summary>The backing file's format, if the image says it.</summary>
    public string? BackingFormat => Find(Qcow2HeaderExtension.BackingFormat) is { } data ? Encoding.UTF8.GetString(data) : null;

    /// <summary>The data of the first extension of a type.</summary>
    public byte[]? Find(uint type) => Extensions.Find(e => e.Type == type)?.Data;

    /// <summary>Replaces, adds or (null) removes the extension of a type.</summary>
    public void Set(uint type, byte[]? data)
    {
        int at = Extensions.FindIndex(e => e.Type == type);
        if (data is null)
        {
            Extensions.RemoveAll(e => e.Type == type);
        }
        else if (at >= 0)
        {
            Extensions[at] = new Qcow2HeaderExtension(type, data);
        }
        else
        {
            Extensions.Insert(0, new Qcow2HeaderExtension(type, data));
        }
    }

    /// <summary>The whole cluster as bytes.</summary>
    /// <exception cref="BlockIoException">ENOSPC: it does not fit.</exception>
    public byte[] ToBytes()
    {
        byte[] bytes = new byte[Header.ClusterBytes];
        if (Header.HeaderBytes > Qcow2Header.KnownBytes)
        {
            _stored.AsSpan(0, (int)Header.HeaderBytes).CopyTo(bytes);
        }

        int position = WriteExtensions(bytes, (int)Header.HeaderBytes);
        WriteBackingFile(bytes, position);
        Header.Write(bytes);
        return bytes;
    }

    /// <summary>Writes the sectors that changed, in order; syncs nothing.</summary>
    /// <exception cref="BlockIoException">The medium failed, or it does not fit (ENOSPC).</exception>
    public async ValueTask WriteAsync(ImageFile file)
    {
        byte[] bytes = ToBytes();
        for (int at = 0; at < bytes.Length; at += Qcow2Format.SectorBytes)
        {
            Memory<byte> sector = bytes.AsMemory(at, Qcow2Format.SectorBytes);
            if (!sector.Span.SequenceEqual(_stored.AsSpan(at, Qcow2Format.SectorBytes)))
            {
                await file.WriteAsync(at, sector).ConfigureAwait(false);
                sector.CopyTo(_stored.AsMemory(at));
            }
        }

        _stored = bytes;
    }

    /// <summary>Writes a header that points at moved tables, durably. If that fails nobody knows which tables are the image's, so none is written any more.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask SwitchAsync(ImageFile file)
    {
        try
        {
            await WriteAsync(file).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
        }
        catch (BlockIoException e)
        {
            file.Fail(e.Errno);
            throw;
        }
    }

    private int WriteExtensions(byte[] bytes, int position)
    {
        var waiting = new List<Qcow2HeaderExtension>(Extensions);
        while (waiting.Count > 0)
        {
            int bitmaps = waiting.FindIndex(e => e.Type == Qcow2BitmapExtension.Magic);
            int next = bitmaps >= 0 && FitsSector(position) ? bitmaps : Math.Max(0, waiting.FindIndex(e => e.Type != Qcow2BitmapExtension.Magic));
            Qcow2HeaderExtension extension = waiting[next];
            waiting.RemoveAt(next);
            CheckFits(position + extension.TotalBytes + Qcow2HeaderExtension.PrefixBytes);
            extension.Write(bytes.AsSpan(position));
            position += extension.TotalBytes;
        }

        return position + Qcow2HeaderExtension.PrefixBytes;
    }

    private void WriteBackingFile(byte[] bytes, int position)
    {
        (Header.BackingFileOffset, Header.BackingFileBytes) = (0, 0);
        if (BackingFile is null)
        {
            return;
        }

        byte[] name = Encoding.UTF8.GetBytes(BackingFile);
        CheckFits(position + name.Length);
        name.CopyTo(bytes, position);
        (Header.BackingFileOffset, Header.BackingFileBytes) = ((ulong)position, (uint)name.Length);
    }

    private static bool FitsSector(int position)
    {
        int data = position + Qcow2HeaderExtension.PrefixBytes;
        return data / Qcow2Format.SectorBytes == (data + Qcow2BitmapExtension.Size - 1) / Qcow2Format.SectorBytes;
    }

    private void CheckFits(int bytes)
    {
        if (bytes > Header.ClusterBytes)
        {
            throw new BlockIoException(Errno.ENOSPC);
        }
    }
}
