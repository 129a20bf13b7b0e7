namespace Monitor.Storage.Hmp.QemuIo;

/// <summary>A command of qemu-io ended early; the message is all that it prints.</summary>
/// <param name="message">Lines without the last line end.</param>
internal sealed class QemuIoException(string message) : Exception(message);
