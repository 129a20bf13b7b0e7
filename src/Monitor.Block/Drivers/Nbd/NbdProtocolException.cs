namespace Monitor.Block.Drivers.Nbd;

/// <summary>The server sent what the protocol does not allow: it cannot be trusted any further.</summary>
internal sealed class NbdProtocolException(string message) : IOException(message);
