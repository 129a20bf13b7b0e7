using System.Text;
using Monitor.Qapi;
using Monitor.Qmp;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>char</c>: character devices.</summary>
/// <param name="chardevs">All of them.</param>
public sealed class CharCommands(ChardevTable chardevs) : ICharCommands
{
    private static readonly ChardevReturn s_nothing = new();

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<ChardevInfo>> QueryChardevAsync() => new(
    [
        .. chardevs.All.Select(chardev => new ChardevInfo { Label = chardev.Id, Filename = chardev.FileName, FrontendOpen = chardev.IsInUse }),
    ]);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<ChardevBackendInfo>> QueryChardevBackendsAsync() => new(
    [
        .. Enum.GetValues<ChardevBackendKind>().Select(kind => new ChardevBackendInfo { Name = kind.ToWire() }),
    ]);

    /// <inheritdoc/>
    public async ValueTask<ChardevReturn> ChardevAddAsync(ChardevAddArguments arguments)
    {
        if (chardevs.TryGet(arguments.Id, out _))
        {
            throw new QmpException($"Chardev with id '{arguments.Id}' already exists");
        }

        await OpenAsync(arguments.Id, arguments.Backend);
        return s_nothing;
    }

    /// <inheritdoc/>
    public async ValueTask<ChardevReturn> ChardevChangeAsync(ChardevChangeArguments arguments)
    {
        if (!chardevs.TryGet(arguments.Id, out Chardev? old))
        {
            throw new QmpException($"Chardev '{arguments.Id}' does not exist");
        }

        if (old.IsInUse)
        {
            throw new QmpException("Chardev user does not support chardev hotswap");
        }

        chardevs.Remove(old);
        await OpenAsync(arguments.Id, arguments.Backend);
        return s_nothing;
    }

    /// <inheritdoc/>
    public ValueTask ChardevRemoveAsync(ChardevRemoveArguments arguments)
    {
        Chardev chardev = Get(arguments.Id);
        if (chardev.IsInUse)
        {
            throw new QmpException($"Chardev '{arguments.Id}' is busy");
        }

        chardevs.Remove(chardev);
        return default;
    }

    /// <summary>None of our kinds of device has a line to break; like QEMU's they take it and do nothing.</summary>
    public ValueTask ChardevSendBreakAsync(ChardevSendBreakArguments arguments)
    {
        Get(arguments.Id);
        return default;
    }

    /// <inheritdoc/>
    public ValueTask RingbufWriteAsync(RingbufWriteArguments arguments)
    {
        RingbufChardev ring = GetRing(arguments.Device);
        ring.Write(arguments.Format == DataFormat.Base64 ? FromBase64(arguments.Data) : Encoding.UTF8.GetBytes(arguments.Data));
        return default;
    }

    /// <inheritdoc/>
    public ValueTask<string> RingbufReadAsync(RingbufReadArguments arguments)
    {
        RingbufChardev ring = GetRing(arguments.Device);
        if (arguments.Size <= 0)
        {
            throw new QmpException("size must be greater than zero");
        }

        byte[] bytes = ring.Read(arguments.Size);
        return new(arguments.Format == DataFormat.Base64 ? Convert.ToBase64String(bytes) : ToText(bytes));
    }

    /// <summary>As far as the first NUL, where QEMU's strings end.</summary>
    private static string ToText(byte[] bytes)
    {
        int end = Array.IndexOf(bytes, (byte)0);
        return Encoding.UTF8.GetString(bytes.AsSpan(0, end < 0 ? bytes.Length : end));
    }

    private static byte[] FromBase64(string text)
    {
        try
        {
            return Convert.FromBase64String(text);
        }
        catch (FormatException)
        {
            throw new QmpException("Base64 data contains invalid characters");
        }
    }

    private async Task OpenAsync(string id, ChardevBackend backend)
    {
        try
        {
            await chardevs.AddAsync(id, backend);
        }
        catch (QmpException e)
        {
            throw new QmpException($"Failed to add chardev '{id}': {e.Message}");
        }
    }

    private Chardev Get(string id) =>
        chardevs.TryGet(id, out Chardev? chardev) ? chardev : throw new QmpException($"Chardev '{id}' not found");

    private RingbufChardev GetRing(string device)
    {
        if (!chardevs.TryGet(device, out Chardev? chardev))
        {
            throw new QmpException($"Device '{device}' not found");
        }

        return chardev as RingbufChardev ?? throw new QmpException($"{device} is not a ringbuf device");
    }
}
