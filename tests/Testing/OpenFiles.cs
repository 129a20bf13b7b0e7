using System.Net.Sockets;
using Microsoft.Win32.SafeHandles;

namespace Testing;

/// <summary>Files and sockets that a test keeps open to send their descriptors.</summary>
public sealed class OpenFiles : IDisposable
{
    private readonly List<IDisposable> _open = [];
    private readonly List<int> _new = [];

    /// <summary>Opens one.</summary>
    /// <param name="mode"><c>r</c>, <c>w</c> or <c>rw</c> for a file; <c>socket</c> for one bound to the path, <c>connected</c> for one end of a pair, <c>client</c> for one connected to who listens there.</param>
    /// <param name="path">Where.</param>
    public void Open(string mode, string path)
    {
        _new.Add(mode switch
        {
            "r" => OpenFile(path, FileAccess.Read),
            "w" => OpenFile(path, FileAccess.Write),
            "rw" => OpenFile(path, FileAccess.ReadWrite),
            "socket" => (int)Bind(path).Handle,
            "connected" => Connect(path),
            "client" => ConnectTo(path),
            _ => throw new ArgumentException($"unknown mode {mode}"),
        });
    }

    /// <summary>The descriptors opened since the last call.</summary>
    public int[] TakeNew()
    {
        int[] taken = [.. _new];
        _new.Clear();
        return taken;
    }

    public void Dispose() => _open.ForEach(open => open.Dispose());

    private int OpenFile(string path, FileAccess access)
    {
        SafeFileHandle handle = File.OpenHandle(path, FileMode.Open, access, FileShare.ReadWrite);
        _open.Add(handle);
        return (int)handle.DangerousGetHandle();
    }

    private Socket Bind(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        _open.Add(socket);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        return socket;
    }

    private int Connect(string path)
    {
        Socket listener = Bind(path);
        listener.Listen();
        return ConnectTo(path);
    }

    private int ConnectTo(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        _open.Add(socket);
        socket.Connect(new UnixDomainSocketEndPoint(path));
        return (int)socket.Handle;
    }
}
