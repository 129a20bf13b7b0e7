using System.Globalization;
using Monitor.Qapi;

namespace Monitor.Storage.Drives;

/// <summary>The sizes of blocks that a device shows its guest: whether they fit each other.</summary>
internal static class BlockSizes
{
    private const string Logical = "logical_block_size";

    /// <summary>Refuses sizes that no guest could use together.</summary>
    /// <exception cref="QmpException">They do not fit.</exception>
    public static void Check(GuestDevice device)
    {
        if (device.FindProperty(Logical) is null)
        {
            return;
        }

        long logical = Bytes(device, Logical);
        if (logical > Bytes(device, "physical_block_size"))
        {
            throw new QmpException($"{Logical} > physical_block_size not supported");
        }

        CheckMultiple(device, "min_io_size", logical, ushort.MaxValue);
        CheckMultiple(device, "opt_io_size", logical, uint.MaxValue);
        CheckMultiple(device, "discard_granularity", logical, long.MaxValue);
    }

    private static void CheckMultiple(GuestDevice device, string name, long logical, long maximumBlocks)
    {
        if (!device.IsSet(name))
        {
            return;
        }

        long bytes = Bytes(device, name);
        if (bytes % logical != 0)
        {
            throw new QmpException($"{name} must be a multiple of {Logical}");
        }

        if (bytes / logical > maximumBlocks)
        {
            throw new QmpException($"{name} must not exceed {maximumBlocks} logical blocks");
        }
    }

    private static long Bytes(GuestDevice device, string name) => long.Parse(device.Get(name).Text, CultureInfo.InvariantCulture);
}
