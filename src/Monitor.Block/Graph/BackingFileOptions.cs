using Monitor.Block.Drivers;
using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>Turns a backing file's name, as an image's header has it, into the options of the node to open.</summary>
/// <remarks>
/// A name is a path (relative ones count from the image's directory), a path behind <c>file:</c>, or <c>json:</c> options. Where the header
/// names no format the file's first bytes decide between qcow2 and raw, as in QEMU: the image's owner chose not to say.
/// </remarks>
internal static class BackingFileOptions
{
    private const string JsonPrefix = "json:";
    private const string FilePrefix = "file:";

    /// <summary>The options of the backing node; may read the file to probe it, so runs on a block thread.</summary>
    /// <exception cref="QmpException">The format or the kind of name is unknown, or the file cannot be opened.</exception>
    public static BlockdevOptions From(BackingImage backing, string imageName)
    {
        BlockdevDriver? format = null;
        if (backing.Format is { } name)
        {
            format = BlockdevDriverWire.TryParse(name, out BlockdevDriver known) ? known : throw new QmpException($"Unknown driver '{name}'");
        }

        if (backing.FileName.StartsWith(JsonPrefix, StringComparison.Ordinal))
        {
            var options = BlockdevOptions.Read(QmpInputVisitor.Parse(backing.FileName[JsonPrefix.Length..]), null);
            return format is null || format == options.Driver ? options : Above(format.Value, options);
        }

        string path = ResolvePath(backing.FileName, imageName);
        BlockdevOptions file = ImageFileName.File(path);
        format ??= ImageProbe.Probe(path);
        return format == BlockdevDriver.File ? file : Above(format.Value, file);
    }

    private static BlockdevOptions Above(BlockdevDriver format, BlockdevOptions file)
    {
        var reference = new BlockdevRef { Definition = file };
        object branch = format switch
        {
            BlockdevDriver.Qcow2 => new BlockdevOptionsQcow2 { File = reference },
            BlockdevDriver.Raw => new BlockdevOptionsRaw { File = reference },
            _ => throw new QmpException($"Driver '{format.ToWire()}' is no image format"),
        };
        return new BlockdevOptions { Driver = format, Branch = branch };
    }

    private static string ResolvePath(string fileName, string imageName)
    {
        if (fileName.StartsWith(FilePrefix, StringComparison.Ordinal))
        {
            return fileName[FilePrefix.Length..];
        }

        int colon = fileName.IndexOf(':', StringComparison.Ordinal);
        int slash = fileName.IndexOf('/', StringComparison.Ordinal);
        if (colon >= 0 && (slash < 0 || colon < slash))
        {
            throw new QmpException($"Unknown protocol '{fileName[..colon]}'");
        }

        return slash == 0 ? fileName : imageName[..(imageName.LastIndexOf('/') + 1)] + fileName;
    }
}
