namespace Monitor.Qapi.Json;

/// <summary>Puts the tokens of one value on a tape in their places, or says which is out of place.</summary>
/// <remarks>Each token is looked at once: a stack holds the open containers, <c>_expected</c> what may come next.</remarks>
internal sealed class JsonGrammar
{
    /// <summary>How every error of the grammar begins on the wire.</summary>
    public const string Prefix = "JSON parse error, ";

    /// <summary>What QEMU has room for.</summary>
    private const int MaximumErrorLength = 1023;

    private readonly JsonKeySet _keys = new();

    private Frame[] _frames = new Frame[16];

    private int _depth;

    private Expected _expected;

    private JsonTape _tape = new();

    private enum Expected : byte
    {
        Value,
        ValueOrEnd,
        Key,
        KeyOrEnd,
        Colon,
        DictSeparator,
        ListSeparator,
        Nothing,
    }

    /// <summary>The first token out of place, without <see cref="Prefix"/>; what follows it is not looked at.</summary>
    public string? Error { get; private set; }

    /// <summary>Begins a value.</summary>
    /// <param name="tape">Cleared; receives the value.</param>
    public void Start(JsonTape tape)
    {
        _tape = tape;
        _depth = 0;
        _expected = Expected.Value;
        _keys.Clear();
        Error = null;
    }

    /// <summary>Takes the next token.</summary>
    /// <param name="lexeme">What it is.</param>
    /// <param name="text">Its text, or the end of it.</param>
    /// <param name="savedOffset">Where the tape has the beginning of its text, if it came in several chunks.</param>
    /// <param name="isPlain">A string without escapes, all ASCII.</param>
    public void Accept(JsonLexeme lexeme, ReadOnlySpan<byte> text, int savedOffset, bool isPlain)
    {
        if (Error is null)
        {
            Error = _expected switch
            {
                Expected.Colon => Next(lexeme == JsonLexeme.Colon, Expected.Value, "missing : in object pair"),
                Expected.DictSeparator when lexeme == JsonLexeme.EndDict => Close(),
                Expected.DictSeparator => Next(lexeme == JsonLexeme.Comma, Expected.Key, "expected separator in dict"),
                Expected.ListSeparator when lexeme == JsonLexeme.EndList => Close(),
                Expected.ListSeparator => Next(lexeme == JsonLexeme.Comma, Expected.Value, "expected separator in list"),
                Expected.KeyOrEnd when lexeme == JsonLexeme.EndDict => Close(),
                Expected.ValueOrEnd when lexeme == JsonLexeme.EndList => Close(),
                _ => AcceptValue(lexeme, text, savedOffset, isPlain),
            };
        }

        if (Error is not null)
        {
            _tape.TruncateText(savedOffset);
        }
    }

    private string? Next(bool isThere, Expected next, string error)
    {
        _expected = next;
        return isThere ? null : error;
    }

    private string? AcceptValue(JsonLexeme lexeme, ReadOnlySpan<byte> text, int savedOffset, bool isPlain)
    {
        bool isKey = _expected is Expected.Key or Expected.KeyOrEnd;
        switch (lexeme)
        {
            case JsonLexeme.BeginDict:
                return Open(JsonTokenKind.Dict, isKey);
            case JsonLexeme.BeginList:
                return Open(JsonTokenKind.List, isKey);
            case JsonLexeme.String:
                return AcceptString(text, savedOffset, isPlain, isKey);
            case JsonLexeme.Keyword:
                return AcceptKeyword(text, savedOffset) ?? EndScalar(isKey);
            case JsonLexeme.Integer or JsonLexeme.Float:
                _tape.AppendText(text);
                var kind = lexeme == JsonLexeme.Integer ? JsonTokenKind.Integer : JsonTokenKind.Float;
                _tape.AddToken(kind, savedOffset, _tape.TextLength - savedOffset);
                return EndScalar(isKey);
            default:
                return "expecting value";
        }
    }

    private string? AcceptString(ReadOnlySpan<byte> text, int savedOffset, bool isPlain, bool isKey)
    {
        int length;
        if (isPlain && _tape.TextLength == savedOffset)
        {
            length = text.Length - 2;
            _tape.AppendText(text.Slice(1, length));
        }
        else
        {
            _tape.AppendText(text);
            if (JsonString.Decode(_tape.TextFrom(savedOffset), out length) is { } error)
            {
                return error;
            }

            _tape.TruncateText(savedOffset + length);
        }

        int token = _tape.AddToken(isKey ? JsonTokenKind.Key : JsonTokenKind.String, savedOffset, length);
        if (!isKey)
        {
            return EndValue();
        }

        _frames[_depth - 1].Key = token;
        _expected = Expected.Colon;
        return null;
    }

    private string? AcceptKeyword(ReadOnlySpan<byte> text, int savedOffset)
    {
        _tape.AppendText(text);
        ReadOnlySpan<byte> word = _tape.TextFrom(savedOffset);
        var kind = word.SequenceEqual("true"u8) ? JsonTokenKind.True
            : word.SequenceEqual("false"u8) ? JsonTokenKind.False
            : JsonTokenKind.Null;
        if (kind == JsonTokenKind.Null && !word.SequenceEqual("null"u8))
        {
            string error = $"invalid keyword '{System.Text.Encoding.ASCII.GetString(word)}'";
            return error.Length > MaximumErrorLength ? error[..MaximumErrorLength] : error;
        }

        _tape.TruncateText(savedOffset);
        _tape.AddToken(kind, savedOffset, 0);
        return null;
    }

    private string? EndScalar(bool isKey) => isKey ? "key is not a string in object" : EndValue();

    private string? Open(JsonTokenKind kind, bool isKey)
    {
        if (_depth == _frames.Length)
        {
            Array.Resize(ref _frames, _depth * 2);
        }

        _frames[_depth++] = new Frame { Container = _tape.AddToken(kind, _tape.TextLength, 0), IsKey = isKey };
        _expected = kind == JsonTokenKind.Dict ? Expected.KeyOrEnd : Expected.ValueOrEnd;
        return null;
    }

    private string? Close()
    {
        ref var frame = ref _frames[--_depth];
        _tape.CloseContainer(frame.Container);
        return EndScalar(frame.IsKey);
    }

    private string? EndValue()
    {
        if (_depth == 0)
        {
            _expected = Expected.Nothing;
            return null;
        }

        ref var frame = ref _frames[_depth - 1];
        if (_tape.KindOf(frame.Container) == JsonTokenKind.List)
        {
            _expected = Expected.ListSeparator;
            return null;
        }

        _expected = Expected.DictSeparator;
        return _keys.Add(_tape, frame.Container, frame.Key, frame.Members++) ? null : "duplicate key";
    }

    private struct Frame
    {
        public int Container;
        public int Key;
        public int Members;
        public bool IsKey;
    }
}
