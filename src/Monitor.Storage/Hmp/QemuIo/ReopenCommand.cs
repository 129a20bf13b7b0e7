using Monitor.Block;
using Monitor.Qapi;
using Monitor.Storage.Drives;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>reopen</c>: changes how an open node is used.</summary>
/// <param name="graph">Where the node is.</param>
internal sealed class ReopenCommand(BlockGraph graph) : QemuIoCommand
{
    private static readonly string[] s_known = ["read-only", "detect-zeroes", "discard", "cache.direct", "cache.no-flush"];

    /// <inheritdoc/>
    public override string Name => "reopen";

    /// <inheritdoc/>
    public override string Arguments => "[(-r|-w)] [-c cache] [-o options]";

    /// <inheritdoc/>
    public override string Help => "change the options of an open image";

    /// <inheritdoc/>
    public override string Options => "c:o:rw";

    /// <inheritdoc/>
    public override int MaximumWords => -1;

    /// <inheritdoc/>
    public override async ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        request.CheckWords(0, 0);
        if (request.Has('r') && request.Has('w'))
        {
            throw new QemuIoException("Only one -r/-w option can be given");
        }

        try
        {
            BlockNodeSettings settings = Apply(request, request.Backend.Node.Settings);
            using GraphChange change = await graph.ChangeAsync();
            await ReopenAsync(request.Backend.Node, settings, request.Drive);
        }
        catch (QmpException e)
        {
            throw new QemuIoException(e.Message);
        }

        return null;
    }

    private static BlockNodeSettings Apply(QemuIoRequest request, BlockNodeSettings settings)
    {
        Dictionary<string, string> options = LegacyOptions.Parse(request.Find('o') ?? "", "");
        if (options.Keys.FirstOrDefault(key => !s_known.Contains(key)) is { } unknown)
        {
            throw new QemuIoException($"Cannot change the option '{unknown}'");
        }

        if (request.Find('c') is { } mode)
        {
            if (options.ContainsKey("cache.direct") || options.ContainsKey("cache.no-flush"))
            {
                throw new QemuIoException("Cannot set both -c and the cache options");
            }

            settings = WithCache(settings, mode);
        }

        bool isReadOnly = !request.Has('w') && (request.Has('r') || settings.ReadOnly);
        return settings with
        {
            ReadOnly = LegacyOptions.Flag(options, "read-only", isReadOnly),
            CacheDirect = LegacyOptions.Flag(options, "cache.direct", settings.CacheDirect),
            CacheNoFlush = LegacyOptions.Flag(options, "cache.no-flush", settings.CacheNoFlush),
            DiscardUnmap = options.GetValueOrDefault("discard") is { } discard ? discard is "unmap" or "on" : settings.DiscardUnmap,
            DetectZeroes = options.GetValueOrDefault("detect-zeroes") switch
            {
                null => settings.DetectZeroes,
                "on" => DetectZeroesMode.On,
                "unmap" => DetectZeroesMode.Unmap,
                "off" => DetectZeroesMode.Off,
                { } other => throw new QmpException($"Parameter 'detect-zeroes' does not accept value '{other}'"),
            },
        };
    }

    private static BlockNodeSettings WithCache(BlockNodeSettings settings, string mode) => mode switch
    {
        "none" or "off" or "directsync" => settings with { CacheDirect = true, CacheNoFlush = false },
        "writeback" or "writethrough" => settings with { CacheDirect = false, CacheNoFlush = false },
        "unsafe" => settings with { CacheDirect = false, CacheNoFlush = true },
        _ => throw new QemuIoException($"Invalid cache option: {mode}"),
    };

    /// <summary>A drive of a node that turns read-only no longer writes; it does again when the node is writable.</summary>
    private async Task ReopenAsync(BlockNode node, BlockNodeSettings settings, Drive? drive)
    {
        if (settings.ReadOnly && drive?.Backend.Root is { } root)
        {
            graph.SetPermissions(drive.Backend, root.Used & ~BlockPermission.Write, root.Shared);
        }

        try
        {
            await BlockReopen.ChangeSettingsAsync(graph, node, settings);
        }
        finally
        {
            drive?.ApplyPermissions();
        }
    }
}
