using System.Diagnostics;
using Monitor.Block;
using Monitor.Block.Io;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary>Does one request of qemu-io off the loop, times it and prints its outcome.</summary>
internal static class QemuIoTransfer
{
    /// <summary>The byte that is written when no pattern is given.</summary>
    public const byte DefaultPattern = 0xcd;

    /// <summary>Reads, checks a pattern, dumps and reports.</summary>
    /// <param name="request">With the options P, s, l and v.</param>
    /// <param name="failed">Begins the line of a failure.</param>
    /// <param name="offset">Where, in bytes.</param>
    /// <param name="length">How much, in bytes.</param>
    /// <param name="pattern">What should be there, if the request says.</param>
    public static async Task ReadAsync(QemuIoRequest request, string failed, long offset, int length, QemuIoPattern? pattern)
    {
        byte[] buffer = GC.AllocateUninitializedArray<byte>(length);
        if (await TimeAsync(request, failed, () => request.Backend.ReadAsync(offset, buffer)) is not { } elapsed)
        {
            return;
        }

        if (pattern is { } wanted && buffer.AsSpan(wanted.Start, wanted.Length).ContainsAnyExcept(wanted.Value))
        {
            request.Output.Append($"Pattern verification failed at offset {offset + wanted.Start}, {wanted.Length} bytes\n");
        }

        if (request.Has('v') && !request.Has('q'))
        {
            QemuIoReport.Dump(request.Output, buffer, offset);
        }

        QemuIoReport.Print(request, "read", offset, length, elapsed);
    }

    /// <summary>Writes and reports.</summary>
    /// <param name="request">The request.</param>
    /// <param name="failed">Begins the line of a failure.</param>
    /// <param name="offset">Where, in bytes.</param>
    /// <param name="content">The bytes.</param>
    /// <param name="flags">How.</param>
    public static async Task WriteAsync(QemuIoRequest request, string failed, long offset, byte[] content, BlockWriteFlags flags)
    {
        if (await TimeAsync(request, failed, () => request.Backend.WriteAsync(offset, content, flags)) is { } elapsed)
        {
            QemuIoReport.Print(request, "wrote", offset, content.Length, elapsed);
        }
    }

    /// <summary>Writes zeroes and reports.</summary>
    /// <param name="request">The request.</param>
    /// <param name="failed">Begins the line of a failure.</param>
    /// <param name="offset">Where, in bytes.</param>
    /// <param name="length">How much, in bytes.</param>
    /// <param name="flags">How.</param>
    public static async Task WriteZeroesAsync(QemuIoRequest request, string failed, long offset, long length, BlockWriteFlags flags)
    {
        if (await TimeAsync(request, failed, () => request.Backend.WriteZeroesAsync(offset, length, flags)) is { } elapsed)
        {
            QemuIoReport.Print(request, "wrote", offset, length, elapsed);
        }
    }

    /// <summary>Does some I/O on a block thread.</summary>
    /// <param name="request">The request; takes the line of a failure.</param>
    /// <param name="failed">Begins that line.</param>
    /// <param name="work">The I/O.</param>
    /// <returns>The time it took; <see langword="null"/> when it failed.</returns>
    public static async Task<TimeSpan?> TimeAsync(QemuIoRequest request, string failed, Func<ValueTask> work)
    {
        long start = Stopwatch.GetTimestamp();
        try
        {
            await BlockThreads.RunAsync(work);
            return Stopwatch.GetElapsedTime(start);
        }
        catch (BlockIoException e)
        {
            request.Output.Append($"{failed} failed: {Errno.Describe(e.Errno)}\n");
            return null;
        }
    }

    /// <summary>Does nothing but let a drive count a request that is not valid (<c>-i</c>).</summary>
    public static ValueTask<Task?> CountInvalid(QemuIoRequest request, BlockRequestKind kind)
    {
        request.Drive?.Statistics.CountInvalid(kind);
        return default;
    }

    /// <summary>A buffer of one byte over and over.</summary>
    public static byte[] Fill(int length, string? pattern)
    {
        byte value = pattern is null ? DefaultPattern : QemuIoNumber.ParsePattern(pattern);
        byte[] buffer = GC.AllocateUninitializedArray<byte>(length);
        buffer.AsSpan().Fill(value);
        return buffer;
    }
}
