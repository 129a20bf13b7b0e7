using System.Buffers;
using System.Text.Json;
using Monitor.Qapi.Json;

namespace Monitor.Qmp;

/// <summary>Builds the reply to one request.</summary>
/// <remarks>Reused from request to request; the JSON writer is made when a command first returns a value, since its first use costs
/// several milliseconds of start-up.</remarks>
/// <param name="session">The session that asked.</param>
internal sealed class QmpReply(IQmpSessionInfo session) : IQmpReply
{
    private const int RetainedBytes = 1 << 20;

    private readonly ArrayBufferWriter<byte> _id = new();

    private ArrayBufferWriter<byte> _bytes = new();

    private Utf8JsonWriter? _writer;

    private bool _isWriterInUse;

    private bool _hasValue;

    private bool _isError;

    /// <inheritdoc/>
    public IQmpSessionInfo Session { get; } = session;

    /// <inheritdoc/>
    public Utf8JsonWriter Writer
    {
        get
        {
            if (!_isWriterInUse)
            {
                UseWriter();
            }

            return _writer!;
        }
    }

    /// <inheritdoc/>
    public void WriteRaw(ReadOnlySpan<byte> json)
    {
        _hasValue = true;
        _bytes.Write(json);
    }

    /// <summary>Begins a reply.</summary>
    public void Begin()
    {
        _isError = false;
        _id.ResetWrittenCount();
        BeginValue();
    }

    /// <summary>Gives the reply the request's id.</summary>
    /// <param name="tape">Where the id is.</param>
    /// <param name="token">The id, a value of any type.</param>
    public void SetId(JsonTape tape, int token) => tape.WriteValue(token, _id);

    /// <summary>Makes it an error reply, dropping what was written.</summary>
    public void SetError(QmpErrorClass errorClass, string description)
    {
        BeginValue();
        _bytes.ResetWrittenCount();
        _isError = true;
        if (_id.WrittenCount > 0)
        {
            _bytes.Write("{\"id\": "u8);
            _bytes.Write(_id.WrittenSpan);
            _bytes.Write(", \"error\": {\"class\": "u8);
        }
        else
        {
            _bytes.Write("{\"error\": {\"class\": "u8);
        }

        JsonString.Write(errorClass.ToString(), _bytes);
        _bytes.Write(", \"desc\": "u8);
        JsonString.Write(description, _bytes);
        _bytes.Write("}}\r\n"u8);
    }

    /// <summary>Ends the reply.</summary>
    /// <returns>Its bytes with the line end; valid until the next <see cref="Begin"/>.</returns>
    public ReadOnlySpan<byte> Finish()
    {
        if (_isError)
        {
            return _bytes.WrittenSpan;
        }

        if (_isWriterInUse)
        {
            _writer!.Flush();
        }
        else if (!_hasValue)
        {
            _bytes.Write("{}"u8);
        }

        if (_id.WrittenCount > 0)
        {
            _bytes.Write(", \"id\": "u8);
            _bytes.Write(_id.WrittenSpan);
        }

        _bytes.Write("}\r\n"u8);
        return _bytes.WrittenSpan;
    }

    private void BeginValue()
    {
        if (_isWriterInUse)
        {
            _writer!.Reset();
            _isWriterInUse = false;
        }

        if (_bytes.Capacity > RetainedBytes)
        {
            _bytes = new ArrayBufferWriter<byte>();
        }

        _bytes.ResetWrittenCount();
        _bytes.Write("{\"return\": "u8);
        _hasValue = false;
    }

    private void UseWriter()
    {
        _isWriterInUse = true;
        _writer ??= new Utf8JsonWriter(_bytes, new JsonWriterOptions { Encoder = QmpJsonEncoder.Instance, SkipValidation = true });
        _writer.Reset(_bytes);
    }
}
