using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Monitor.Qapi;

/// <summary>Words socket errors as the C library does, which is what QMP clients know.</summary>
public static class SocketErrorText
{
    private const int NoEntry = 2;

    /// <summary>The text of an error.</summary>
    public static string Of(SocketException error) => error.SocketErrorCode switch
    {
        // The framework folds ENOENT into this one, which no UNIX socket gives.
        SocketError.AddressNotAvailable => Marshal.GetPInvokeErrorMessage(NoEntry),
        SocketError.HostNotFound => "Name or service not known",
        _ => Marshal.GetPInvokeErrorMessage(error.NativeErrorCode),
    };
}
