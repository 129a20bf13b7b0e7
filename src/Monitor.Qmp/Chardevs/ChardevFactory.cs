using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using SocketAddress = Monitor.Qapi.SocketAddress;

namespace Monitor.Qmp;

/// <summary>Opens what a character device is made of.</summary>
internal static class ChardevFactory
{
    private const long DefaultRingbufBytes = 65536;

    /// <summary>What a wait can be given in milliseconds.</summary>
    private const long LongestReconnectSeconds = int.MaxValue / 1000;

    private const uint NewFileMode = 0x1b6;

    /// <summary>Makes a device; a socket may have to wait for the network or for its first client.</summary>
    /// <exception cref="QmpException">It cannot be made.</exception>
    public static async Task<Chardev> OpenAsync(string id, ChardevBackend backend) => backend.Type switch
    {
        ChardevBackendKind.Socket => await OpenSocketAsync(id, backend.Socket.Data),
        ChardevBackendKind.Stdio => Stream(id, "stdio", OpenLog(backend.Stdio.Data.Logfile, backend.Stdio.Data.Logappend), new(0, ownsHandle: false), new(1, ownsHandle: false)),
        ChardevBackendKind.Pipe => OpenPipe(id, backend.Pipe.Data),
        ChardevBackendKind.File => OpenFile(id, backend.File.Data),
        ChardevBackendKind.Null => Stream(id, "null", OpenLog(backend.Null.Data.Logfile, backend.Null.Data.Logappend), null, Open("/dev/null", Libc.O_WRONLY)),
        _ => OpenRingbuf(id, backend),
    };

    private static async Task<Chardev> OpenSocketAsync(string id, ChardevSocket options)
    {
        bool isServer = options.Server ?? true;
        long reconnectSeconds = options.Reconnect ?? 0;
        if (isServer && reconnectSeconds > 0)
        {
            throw new QmpException("'reconnect' option is incompatible with socket in server listen mode");
        }

        if (!isServer && options.Wait is not null)
        {
            throw new QmpException("'wait' option is incompatible with socket in client connect mode");
        }

        SocketAddress address = Flatten(options.Addr);
        return isServer
            ? await ServerSocketChardev.OpenAsync(id, OpenLog(options.Logfile, options.Logappend), address, options.Wait ?? false)
            : await ClientSocketChardev.OpenAsync(id, OpenLog(options.Logfile, options.Logappend), address, TimeSpan.FromSeconds(Math.Clamp(reconnectSeconds, 0, LongestReconnectSeconds)));
    }

    private static SocketAddress Flatten(SocketAddressLegacy address) => new()
    {
        Type = address.Type,
        Branch = address.Type switch
        {
            SocketAddressType.Unix => address.Unix.Data,
            SocketAddressType.Inet => address.Inet.Data,
            SocketAddressType.Vsock => address.Vsock.Data,
            _ => address.Fd.Data,
        },
    };

    private static Chardev OpenPipe(string id, ChardevHostdev options)
    {
        SafeFileHandle? input = TryOpen(options.Device + ".in", Libc.O_RDWR);
        SafeFileHandle? output = TryOpen(options.Device + ".out", Libc.O_RDWR);
        if (input is not null && output is not null)
        {
            return Stream(id, "pipe", OpenLog(options.Logfile, options.Logappend), input, output);
        }

        input?.Dispose();
        output?.Dispose();
        return Stream(id, "pipe", OpenLog(options.Logfile, options.Logappend), Open(options.Device, Libc.O_RDWR), Open(options.Device, Libc.O_RDWR));
    }

    private static Chardev OpenFile(string id, ChardevFile options)
    {
        int end = options.Append == true ? Libc.O_APPEND : Libc.O_TRUNC;
        SafeFileHandle output = Open(options.Out, Libc.O_WRONLY | Libc.O_CREAT | end);
        try
        {
            return Stream(id, "file", OpenLog(options.Logfile, options.Logappend), options.In is { } path ? Open(path, Libc.O_RDONLY) : null, output);
        }
        catch
        {
            output.Dispose();
            throw;
        }
    }

    private static RingbufChardev OpenRingbuf(string id, ChardevBackend backend)
    {
        bool isOldName = backend.Type == ChardevBackendKind.Memory;
        ChardevRingbuf options = isOldName ? backend.Memory.Data : backend.Ringbuf.Data;
        return new RingbufChardev(id, OpenLog(options.Logfile, options.Logappend), isOldName ? "memory" : "ringbuf", options.Size ?? DefaultRingbufBytes);
    }

    private static StreamChardev Stream(string id, string kind, FileStream? log, SafeFileHandle? input, SafeFileHandle output) =>
        new(id, log, kind, new DescriptorTransport(kind, input, output));

    private static FileStream? OpenLog(string? path, bool? isAppending)
    {
        if (path is null)
        {
            return null;
        }

        int flags = Libc.O_WRONLY | Libc.O_CREAT | (isAppending == true ? Libc.O_APPEND : Libc.O_TRUNC);
        if (DescriptorSets.IsName(path))
        {
            return new FileStream(new SafeFileHandle(DescriptorSets.Open(path, flags), ownsHandle: true), FileAccess.Write, bufferSize: 0);
        }

        SafeFileHandle file = TryOpen(path, flags)
            ?? throw new QmpException($"Could not create '{path}': {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");
        return new FileStream(file, FileAccess.Write, bufferSize: 0);
    }

    private static SafeFileHandle Open(string path, int flags) => TryOpen(path, flags)
        ?? throw new QmpException($"Could not open '{path}': {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");

    private static SafeFileHandle? TryOpen(string path, int flags)
    {
        int descriptor = DescriptorSets.IsName(path) ? DescriptorSets.TryOpen(path, flags) : Libc.Open(path, flags | Libc.O_CLOEXEC, NewFileMode);
        return descriptor < 0 ? null : new SafeFileHandle(descriptor, ownsHandle: true);
    }
}
