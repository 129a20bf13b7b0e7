using Monitor.Block;
using Monitor.Block.Drivers.Null;
using NUnit.Framework;

namespace Unit.Drivers;

/// <summary>The promises of every driver, by the two that keep nothing.</summary>
[TestFixture("null-co", false)]
[TestFixture("null-aio", true)]
public sealed class NullNodeContractTests(string driver, bool readZeroes) : DriverContract
{
    protected override bool CanResize => false;

    protected override bool KeepsBytes => false;

    protected override async ValueTask<BlockNode> OpenAsync(BlockNodeSettings settings)
    {
        var node = new NullNode(settings, SizeBytes, readZeroes: readZeroes, driverName: driver);
        await node.OpenAsync();
        return node;
    }
}
