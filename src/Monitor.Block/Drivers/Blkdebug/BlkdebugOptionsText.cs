using Monitor.Qapi;

namespace Monitor.Block.Drivers.Blkdebug;

/// <summary>A blkdebug node's options as they stand in the names of images: rules and lists as flat members.</summary>
internal static class BlkdebugOptionsText
{
    /// <summary>Whether there is more than a file of rules, so that the short name would not say all.</summary>
    public static bool IsNeeded(BlockdevOptionsBlkdebug o) =>
        o.InjectError is not null || o.SetState is not null || o.TakeChildPerms is not null || o.UnshareChildPerms is not null
        || (o.Align ?? o.MaxTransfer ?? o.OptWriteZero ?? o.MaxWriteZero ?? o.OptDiscard ?? o.MaxDiscard) is not null;

    /// <summary>The JSON.</summary>
    /// <param name="o">The options.</param>
    /// <param name="image">Those of the node below, as JSON.</param>
    public static string Write(BlockdevOptionsBlkdebug o, string image)
    {
        var text = new OptionsText("blkdebug");
        text.Add("image", image).Add("align", o.Align).Add("max-transfer", o.MaxTransfer).Add("opt-write-zero", o.OptWriteZero)
            .Add("max-write-zero", o.MaxWriteZero).Add("opt-discard", o.OptDiscard).Add("max-discard", o.MaxDiscard);
        if (o.Config is { } config)
        {
            text.AddText("config", config);
        }

        for (int i = 0; i < (o.InjectError?.Count ?? 0); i++)
        {
            Add(text, $"inject-error.{i}.", o.InjectError![i]);
        }

        for (int i = 0; i < (o.SetState?.Count ?? 0); i++)
        {
            BlkdebugSetStateOptions rule = o.SetState![i];
            text.AddText($"set-state.{i}.event", rule.Event.ToWire()).Add($"set-state.{i}.state", rule.State).Add($"set-state.{i}.new_state", rule.NewState);
        }

        AddAll(text, "take-child-perms", o.TakeChildPerms);
        AddAll(text, "unshare-child-perms", o.UnshareChildPerms);
        return text.ToString();
    }

    private static void Add(OptionsText text, string prefix, BlkdebugInjectErrorOptions rule)
    {
        text.AddText(prefix + "event", rule.Event.ToWire()).Add(prefix + "state", rule.State).Add(prefix + "errno", rule.Errno)
            .Add(prefix + "sector", rule.Sector).Add(prefix + "once", rule.Once).Add(prefix + "immediately", rule.Immediately);
        if (rule.Iotype is { } type)
        {
            text.AddText(prefix + "iotype", type.ToWire());
        }
    }

    private static void AddAll(OptionsText text, string name, IReadOnlyList<Qapi.BlockPermission>? permissions)
    {
        for (int i = 0; i < (permissions?.Count ?? 0); i++)
        {
            text.AddText($"{name}.{i}", permissions![i].ToWire());
        }
    }
}
