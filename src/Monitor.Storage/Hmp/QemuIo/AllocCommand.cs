namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>alloc</c>: how much of a range the node itself holds.</summary>
internal sealed class AllocCommand : QemuIoCommand
{
    private const long DefaultLength = 512;

    /// <inheritdoc/>
    public override string Name => "alloc";

    /// <inheritdoc/>
    public override string Arguments => "offset [count]";

    /// <inheritdoc/>
    public override string Help => "print how many bytes of a range are allocated in the image itself";

    /// <inheritdoc/>
    public override int MinimumWords => 1;

    /// <inheritdoc/>
    public override int MaximumWords => 2;

    /// <inheritdoc/>
    public override async ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        long start = ParseSize(request, 0);
        long length = request.Words.Count > 1 ? ParseSize(request, 1) : DefaultLength;
        length = Math.Min(length, Math.Max(0, request.Backend.SizeBytes - start));
        long sum = 0;
        for (long offset = start; offset < start + length;)
        {
            (bool isAllocated, long run) = await QemuIoAllocation.FindAsync(request.Backend, offset, start + length - offset);
            sum += isAllocated ? run : 0;
            offset += run;
        }

        request.Output.Append($"{sum}/{length} bytes allocated at offset {QemuIoNumber.Describe(start)}\n");
        return null;
    }

    private static long ParseSize(QemuIoRequest request, int word) => QemuIoNumber.ParseSize(request.Words[word]);
}
