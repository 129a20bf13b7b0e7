using Monitor.Qapi.Json;

namespace Monitor.Qmp;

/// <summary>Builds the reply to one request; reused from request to request.</summary>
/// <param name="session">The session that asked.</param>
internal sealed class QmpReply(IQmpSessionInfo session) : IQmpReply
{
    private readonly JsonWriter _id = new();

    private int _valueStart;

    private bool _isError;

    /// <inheritdoc/>
    public IQmpSessionInfo Session { get; } = session;

    /// <inheritdoc/>
    public JsonWriter Writer { get; } = new();

    /// <summary>Begins a reply.</summary>
    public void Begin()
    {
        _isError = false;
        Clear();
        Writer.WriteEnvelope("{\"return\": "u8);
        _valueStart = Writer.Length;
    }

    /// <summary>Forgets a reply that has been sent.</summary>
    public void Clear()
    {
        _id.Clear();
        Writer.Clear();
    }

    /// <summary>Gives the reply the request's id.</summary>
    /// <param name="tape">Where the id is.</param>
    /// <param name="token">The id, a value of any type.</param>
    public void SetId(JsonTape tape, int token) => tape.WriteValue(token, _id);

    /// <summary>Makes it an error reply, dropping what was written.</summary>
    public void SetError(QmpErrorClass errorClass, string description)
    {
        _isError = true;
        Writer.Clear();
        Writer.WriteStartObject();
        if (_id.Length > 0)
        {
            Writer.WriteName("\"id\": "u8);
            Writer.WriteRaw(_id.Written);
        }

        Writer.WriteName("\"error\": "u8);
        Writer.WriteStartObject();
        Writer.WriteName("\"class\": "u8);
        Writer.WriteString(errorClass.ToString());
        Writer.WriteName("\"desc\": "u8);
        Writer.WriteString(description);
        if (ReplyExtensions.ShowsErrorCodes)
        {
            Writer.WriteName("\"code\": "u8);
            Writer.WriteString(QmpErrorCode.Of(description));
        }

        Writer.WriteEndObject();
        Writer.WriteEndObject();
        Writer.WriteEnvelope("\r\n"u8);
    }

    /// <summary>Ends the reply.</summary>
    /// <returns>Its bytes with the line end; valid until the next <see cref="Begin"/>.</returns>
    public ReadOnlySpan<byte> Finish()
    {
        if (_isError)
        {
            return Writer.Written;
        }

        if (Writer.Length == _valueStart)
        {
            Writer.WriteEnvelope("{}"u8);
        }

        if (_id.Length > 0)
        {
            Writer.WriteEnvelope(", \"id\": "u8);
            Writer.WriteRaw(_id.Written);
        }

        Writer.WriteEnvelope("}\r\n"u8);
        return Writer.Written;
    }
}
