using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace QmpShell;

/// <summary>Writes messages for people: an id that the client gave by itself is left out.</summary>
/// <param name="pretty">Indented, on several lines.</param>
internal sealed class MessageFormatter(bool pretty)
{
    private readonly JsonWriterOptions _options = new() { Indented = pretty, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Formats an object.</summary>
    public string Format(JsonElement message)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream, _options))
        {
            writer.WriteStartObject();
            foreach (var member in message.EnumerateObject().Where(member => !IsOwnId(member)))
            {
                member.WriteTo(writer);
            }

            writer.WriteEndObject();
        }

        return Encoding.UTF8.GetString(stream.ToArray());
    }

    private static bool IsOwnId(JsonProperty member) =>
        member.NameEquals("id") && member.Value.ValueKind == JsonValueKind.String
        && member.Value.GetString()!.StartsWith("qmp-shell-", StringComparison.Ordinal);
}
