using Monitor.Block;
using Monitor.Block.Drivers.Nbd;
using Monitor.Qapi;
using NUnit.Framework;
using Unit.Drivers;

namespace Unit.Nbd;

/// <summary>The promises of every driver, over a connection to our own server.</summary>
public sealed class NbdNodeContractTests : DriverContract
{
    private NbdHost _host = null!;

    [SetUp]
    public void SetUp() => _host = new NbdHost(sizeBytes: SizeBytes);

    [TearDown]
    public void TearDown() => _host.Dispose();

    protected override bool CanResize => false;

    protected override async ValueTask<BlockNode> OpenAsync(BlockNodeSettings settings)
    {
        var node = new NbdNode(settings, new BlockdevOptionsNbd { Server = NbdHost.Unix(_host.Path), Export = "e" });
        await node.OpenAsync();
        return node;
    }
}
