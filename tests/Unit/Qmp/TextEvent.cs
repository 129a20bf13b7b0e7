using System.Text.Json;
using Monitor.Qapi;

namespace Unit.Qmp;

/// <summary>Event data of one string.</summary>
internal sealed class TextEvent(string text, string member = "text") : IQapiOutput
{
    public void Write(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        writer.WriteString(member, text);
        writer.WriteEndObject();
    }
}
