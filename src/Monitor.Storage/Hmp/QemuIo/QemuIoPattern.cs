namespace Monitor.Storage.Hmp.QemuIo;

/// <summary>What a part of the bytes read should be.</summary>
/// <param name="Value">Each byte.</param>
/// <param name="Start">Where the part begins in the bytes read.</param>
/// <param name="Length">How long it is.</param>
internal readonly record struct QemuIoPattern(byte Value, int Start, int Length);
