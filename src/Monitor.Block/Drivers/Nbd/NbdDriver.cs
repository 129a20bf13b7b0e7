using System.Text;
using Monitor.Nbd;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Nbd;

/// <summary>Makes <see cref="NbdNode"/>s.</summary>
internal sealed class NbdDriver : IBlockDriver
{
    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) => [];

    public void CheckReopen(BlockdevOptions before, BlockdevOptions after)
    {
        (BlockdevOptionsNbd old, BlockdevOptionsNbd asked) = (before.Nbd, after.Nbd);
        Dictionary<string, string> was = NbdServerAddress.Members(old.Server).ToDictionary();
        Dictionary<string, string> willBe = NbdServerAddress.Members(asked.Server).ToDictionary();
        foreach (string name in was.Keys.Union(willBe.Keys).OrderBy(name => name == "type"))
        {
            FixedOption.Check("server." + name, was.GetValueOrDefault(name), willBe.GetValueOrDefault(name));
        }

        FixedOption.Check("export", old.Export, asked.Export);
        FixedOption.Check("x-dirty-bitmap", old.XDirtyBitmap, asked.XDirtyBitmap);
        FixedOption.Check("reconnect-delay", old.ReconnectDelay, asked.ReconnectDelay);
        FixedOption.Check("open-timeout", old.OpenTimeout, asked.OpenTimeout);
    }

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph)
    {
        CheckLength(options.Nbd.Export, "export name too long to send to server");
        CheckLength(options.Nbd.XDirtyBitmap, "x-dirty-bitmap query too long to send to server");
        return new NbdNode(settings, options.Nbd);
    }

    private static void CheckLength(string? name, string refusal)
    {
        if (name is not null && Encoding.UTF8.GetByteCount(name) > NbdProtocol.MaxStringBytes)
        {
            throw new QmpException(refusal);
        }
    }
}
