using Monitor.Qapi;
using Monitor.Qapi.Json;

namespace Unit.Qmp;

/// <summary>Event data of one string.</summary>
internal sealed class TextEvent(string text, string member = "text") : IQapiOutput
{
    public void Write(JsonWriter writer)
    {
        writer.WriteStartObject();
        writer.WriteName(member);
        writer.WriteString(text);
        writer.WriteEndObject();
    }
}
