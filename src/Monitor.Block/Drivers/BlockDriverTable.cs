using Monitor.Block.Drivers.Blkdebug;
using Monitor.Block.Drivers.Blkverify;
using Monitor.Block.Drivers.File;
using Monitor.Block.Drivers.Filters;
using Monitor.Block.Drivers.Nbd;
using Monitor.Block.Drivers.Null;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Block.Drivers.Quorum;
using Monitor.Block.Drivers.Raw;
using Monitor.Qapi;

namespace Monitor.Block.Drivers;

/// <summary>The drivers by their wire name.</summary>
internal static class BlockDriverTable
{
    /// <summary>The driver; every name that the schema lets pass has one.</summary>
    public static IBlockDriver Get(BlockdevDriver driver) => driver switch
    {
        BlockdevDriver.File or BlockdevDriver.HostDevice => new FileDriver(),
        BlockdevDriver.Raw => new RawDriver(),
        BlockdevDriver.Qcow2 => new Qcow2Driver(),
        BlockdevDriver.NullCo or BlockdevDriver.NullAio => new NullDriver(),
        BlockdevDriver.Nbd => new NbdDriver(),
        BlockdevDriver.Blkverify => new BlkverifyDriver(),
        BlockdevDriver.Quorum => new QuorumDriver(),
        BlockdevDriver.Blkdebug => new BlkdebugDriver(),
        BlockdevDriver.Compress => new CompressDriver(),
        BlockdevDriver.CopyOnRead => new CopyOnReadDriver(),
        BlockdevDriver.Preallocate => new PreallocateDriver(),
        BlockdevDriver.CopyBeforeWrite => new CopyBeforeWriteDriver(),
        BlockdevDriver.SnapshotAccess => new SnapshotAccessDriver(),
        BlockdevDriver.Throttle => new ThrottleDriver(),
        _ => throw new QmpException($"Unknown driver '{driver.ToWire()}'"),
    };
}
