using System.Text.Json;

namespace Monitor.Qmp;

/// <summary>Limits how often some events are sent, as QEMU does: the first goes at once, of those within the next second only the last, at its end.</summary>
/// <remarks>Which events and what tells two of them apart is the table below. Used under the bus's lock; <c>send</c> is called without it.</remarks>
/// <param name="time">The clock.</param>
/// <param name="send">Sends an event that was held back.</param>
internal sealed class QmpEventThrottle(TimeProvider time, Action<byte[]> send)
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(1);

    private readonly Dictionary<string, HeldEvent> _held = [];

    /// <summary>Says whether an event goes out now; if not, it is held back in the place of the one before it.</summary>
    /// <param name="name">The event's name.</param>
    /// <param name="bytes">The whole event.</param>
    public bool ShouldSend(string name, ReadOnlySpan<byte> bytes)
    {
        if (!IsLimited(name, out string? member))
        {
            return true;
        }

        string key = member is null ? name : $"{name} {ReadMember(bytes, member)}";
        lock (_held)
        {
            if (_held.TryGetValue(key, out var held))
            {
                held.Bytes = bytes.ToArray();
                return false;
            }

            held = new HeldEvent();
            _held.Add(key, held);
            held.Timer = time.CreateTimer(_ => Release(key, held), null, s_interval, s_interval);
            return true;
        }
    }

    private static bool IsLimited(string name, out string? distinguishingMember)
    {
        distinguishingMember = name switch
        {
            "QUORUM_REPORT_BAD" => "node-name",
            "VSERPORT_CHANGE" => "id",
            "MEMORY_DEVICE_SIZE_CHANGE" => "qom-path",
            _ => null,
        };
        return distinguishingMember is not null
            || name is "QUORUM_FAILURE" or "RTC_CHANGE" or "WATCHDOG" or "BALLOON_CHANGE";
    }

    private static string? ReadMember(ReadOnlySpan<byte> bytes, string member)
    {
        var reader = new Utf8JsonReader(bytes);
        while (reader.Read())
        {
            if (reader.TokenType == JsonTokenType.PropertyName && reader.CurrentDepth == 2 && reader.ValueTextEquals(member))
            {
                reader.Read();
                return reader.GetString();
            }
        }

        return null;
    }

    private void Release(string key, HeldEvent held)
    {
        byte[]? bytes;
        lock (_held)
        {
            bytes = held.Bytes;
            held.Bytes = null;
            if (bytes is null)
            {
                _held.Remove(key);
                held.Timer?.Dispose();
            }
        }

        if (bytes is not null)
        {
            send(bytes);
        }
    }

    private sealed class HeldEvent
    {
        public byte[]? Bytes { get; set; }

        public ITimer? Timer { get; set; }
    }
}
