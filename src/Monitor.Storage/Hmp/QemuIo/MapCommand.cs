namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>map</c>: which ranges the node itself holds.</summary>
internal sealed class MapCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "map";

    /// <inheritdoc/>
    public override string Help => "print which ranges are allocated in the image itself";

    /// <inheritdoc/>
    public override async ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        long size = request.Backend.SizeBytes;
        for (long offset = 0; offset < size;)
        {
            (bool isAllocated, long length) = await QemuIoAllocation.FindAsync(request.Backend, offset, size - offset);
            string what = isAllocated ? "    allocated" : "not allocated";
            request.Output.Append($"{QemuIoNumber.Describe(length)} (0x{length:x}) bytes {what} at offset {QemuIoNumber.Describe(offset)} (0x{offset:x})\n");
            offset += length;
        }

        return null;
    }
}
