using Monitor.Block;
using Monitor.Block.Io;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>write</c>.</summary>
internal sealed class WriteCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "write";

    /// <inheritdoc/>
    public override string Arguments => "[-bcCfnquz] [-P pattern | -s source_file] off len";

    /// <inheritdoc/>
    public override string Help => "write bytes of a pattern or file; -z zeroes, with -u by giving space back, with -n only if cheap; -c compressed; -f durable";

    /// <inheritdoc/>
    public override string Options => "bcCfnpP:qs:uz";

    /// <inheritdoc/>
    public override int MinimumWords => 2;

    /// <inheritdoc/>
    public override int MaximumWords => -1;

    /// <inheritdoc/>
    public override bool Writes => true;

    /// <inheritdoc/>
    public override async ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        QemuIoTransfer.Fill(0, request.Find('P'));
        request.CheckWords(2, 2);
        CheckOptions(request);
        long offset = QemuIoNumber.ParseSize(request.Words[0]);
        long length = QemuIoNumber.ParseSize(request.Words[1]);
        if (length > QemuIoNumber.MaximumRequest && !request.Has('n'))
        {
            throw new QemuIoException($"length cannot exceed {QemuIoNumber.MaximumRequest} without -n, given {request.Words[1]}");
        }

        if (request.Has('z'))
        {
            await QemuIoTransfer.WriteZeroesAsync(request, Name, offset, length, FlagsOf(request));
            return null;
        }

        byte[] content = request.Find('s') is { } path
            ? await BlockThreads.RunAsync(() => ReadSource(path, (int)length))
            : QemuIoTransfer.Fill((int)length, request.Find('P'));
        await QemuIoTransfer.WriteAsync(request, Name, offset, content, FlagsOf(request));
        return null;
    }

    private static void CheckOptions(QemuIoRequest request)
    {
        string? wrong = request.Has('b') && request.Has('z') ? "-b and -z cannot be specified at the same time"
            : request.Has('n') && !request.Has('z') ? "-n requires -z to be specified"
            : request.Has('u') && !request.Has('z') ? "-u requires -z to be specified"
            : "zPs".Count(request.Has) > 1 ? "Only one of -z, -P, and -s can be specified at the same time"
            : request.Has('b') || (request.Has('c') && !request.Backend.Node.SupportsCompression) ? $"write failed: {Errno.Describe(Errno.ENOTSUP)}"
            : null;
        if (wrong is not null)
        {
            throw new QemuIoException(wrong);
        }
    }

    private static BlockWriteFlags FlagsOf(QemuIoRequest request)
    {
        BlockWriteFlags flags = request.Has('f') ? BlockWriteFlags.Fua : BlockWriteFlags.None;
        flags |= request.Has('c') ? BlockWriteFlags.Compressed : BlockWriteFlags.None;
        flags |= request.Has('n') ? BlockWriteFlags.NoFallback : BlockWriteFlags.None;
        return flags | (request.Has('u') ? BlockWriteFlags.MayUnmap : BlockWriteFlags.None);
    }

    /// <summary>The start of a file, over and over until the length is reached.</summary>
    private static byte[] ReadSource(string path, int length)
    {
        byte[] content = GC.AllocateUninitializedArray<byte>(length);
        PosixFile? file = null;
        try
        {
            file = PosixFile.Open(path, FileOpenMode.Read);
            int read = file.Read(content, 0);
            if (read == 0 && length > 0)
            {
                throw new QemuIoException($"{path}: file is empty");
            }

            for (int filled = read; filled < length; filled++)
            {
                content[filled] = content[filled - read];
            }

            return content;
        }
        catch (BlockIoException e)
        {
            throw new QemuIoException($"{path}: {Errno.Describe(e.Errno)}");
        }
        finally
        {
            file?.Close();
        }
    }
}
