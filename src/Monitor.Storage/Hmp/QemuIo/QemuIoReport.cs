using System.Globalization;
using System.Text;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary>What qemu-io prints of a request that was done: bytes, time and rates.</summary>
internal static class QemuIoReport
{
    /// <summary>Prints it, unless the request is quiet (-q).</summary>
    /// <param name="request">The request.</param>
    /// <param name="done">What was done, such as <c>wrote</c>.</param>
    /// <param name="offset">Where, in bytes.</param>
    /// <param name="length">How much, in bytes.</param>
    /// <param name="elapsed">The time it took.</param>
    public static void Print(QemuIoRequest request, string done, long offset, long length, TimeSpan elapsed)
    {
        if (request.Has('q'))
        {
            return;
        }

        double seconds = Math.Max(elapsed.TotalSeconds, 1e-9);
        string perSecond = (1 / seconds).ToString(request.Has('C') ? "F3" : "F4", CultureInfo.InvariantCulture);
        if (request.Has('C'))
        {
            string bytesPerSecond = (length / seconds).ToString("F3", CultureInfo.InvariantCulture);
            request.Output.Append($"{length},1,{Clock(elapsed, isLong: true)},{bytesPerSecond},{perSecond}\n");
            return;
        }

        request.Output.Append($"{done} {length}/{length} bytes at offset {offset}\n");
        request.Output.Append($"{QemuIoNumber.Describe(length)}, 1 ops; {Clock(elapsed, isLong: false)} ");
        request.Output.Append($"({QemuIoNumber.Describe(length / seconds)}/sec and {perSecond} ops/sec)\n");
    }

    /// <summary>Prints bytes in rows of sixteen: position, hexadecimal, letters and digits.</summary>
    public static void Dump(StringBuilder output, ReadOnlySpan<byte> bytes, long offset)
    {
        for (int start = 0; start < bytes.Length; start += 16)
        {
            ReadOnlySpan<byte> row = bytes.Slice(start, Math.Min(16, bytes.Length - start));
            output.Append($"{offset + start:x8}:  ");
            foreach (byte value in row)
            {
                output.Append($"{value:x2} ");
            }

            output.Append(' ');
            foreach (byte value in row)
            {
                output.Append(char.IsAsciiLetterOrDigit((char)value) ? (char)value : '.');
            }

            output.Append('\n');
        }
    }

    private static string Clock(TimeSpan elapsed, bool isLong)
    {
        int hours = (int)elapsed.TotalHours;
        int hundredths = elapsed.Milliseconds / 10;
        return isLong || hours > 0 ? $"{hours}:{elapsed.Minutes:00}:{elapsed.Seconds:00}.{hundredths:00}"
            : elapsed.Minutes > 0 ? $"{elapsed.Minutes:00}:{elapsed.Seconds:00}.{hundredths:00}"
            : $"{elapsed.Seconds:00}.{hundredths:00} sec";
    }
}
