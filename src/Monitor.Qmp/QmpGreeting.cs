namespace Monitor.Qmp;

/// <summary>What the server says first (QMP specification, section 2.2 "Server Greeting").</summary>
internal static class QmpGreeting
{
    /// <summary>The whole greeting, sent in one piece: clients take their first read for all of it.</summary>
    public static ReadOnlySpan<byte> Bytes =>
        """{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Monitor 0.1.0"}, "capabilities": ["oob"]}}"""u8
        + "\r\n"u8;
}
