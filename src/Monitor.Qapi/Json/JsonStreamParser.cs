using System.Text;

namespace Monitor.Qapi.Json;

/// <summary>Parses a stream of JSON values, fed in chunks of any size, one value at a time onto a tape.</summary>
/// <remarks>
/// <para>It decides as QEMU does what is valid, what is said of the rest, and where sense begins again. Two kinds of error: bytes that
/// are no token end the value at once; a token out of place is remembered, and said when the brackets that are open have closed, so
/// <c>{"a" "b" [{}]}</c> is one error and what follows it is a new value. Brackets are counted by kind: <c>[}</c> is over, <c>{]</c> too,
/// <c>{[}</c> waits for one more.</para>
/// <para>Example: fed <c>{"execute": "qu</c>, then <c>it"} {</c>, <see cref="TryRead"/> answers false for the first chunk, true once for the second,
/// and then false again.</para>
/// <para>Accepted beyond RFC 8259: single-quoted strings and <c>\'</c>. Refused within it: duplicate keys, lone surrogates and
/// noncharacters. Cost: one pass; the tape holds only decoded text, so memory is bounded by the limits below, not by the white space.</para>
/// </remarks>
public sealed class JsonStreamParser
{
    /// <summary>How deep lists and dicts may nest.</summary>
    public const int MaximumNesting = 1024;

    /// <summary>Bytes of token text one value may have.</summary>
    public const int MaximumTextBytes = 64 << 20;

    /// <summary>Tokens one value may have, punctuation included.</summary>
    public const int MaximumTokens = 2 << 20;

    private const string SizeError = "JSON token size limit exceeded";

    private readonly JsonGrammar _grammar = new();

    private JsonLexer _lexer;

    private int _openDicts;

    private int _openLists;

    private int _tokens;

    private long _textBytes;

    private int _savedOffset;

    private bool _isFresh = true;

    /// <summary>The value just read; valid until the next call of <see cref="TryRead"/>.</summary>
    public JsonTape Tape { get; private set; } = new();

    /// <summary>Takes the tape with the value just read away from the parser and gives it another to go on with.</summary>
    /// <param name="replacement">A tape nobody else uses.</param>
    /// <returns>The tape that holds the value.</returns>
    public JsonTape ExchangeTape(JsonTape replacement)
    {
        var tape = Tape;
        Tape = replacement;
        return tape;
    }

    /// <summary>Reads up to the end of a value.</summary>
    /// <param name="chunk">Bytes received.</param>
    /// <param name="position">Where to go on in the chunk; moved past what was used.</param>
    /// <param name="error">What is wrong with the value, worded for the error reply; <see langword="null"/> when <see cref="Tape"/> holds it.</param>
    /// <returns><see langword="false"/> when the whole chunk is used and the value is not at its end.</returns>
    public bool TryRead(ReadOnlySpan<byte> chunk, ref int position, out string? error)
    {
        _lexer.Begin(position);
        for (; ; )
        {
            var lexeme = _lexer.Next(chunk, ref position);
            if (_isFresh && (lexeme != JsonLexeme.None || _lexer.InToken))
            {
                StartValue();
            }

            if (Tape.TextLength + position > MaximumTextBytes && IsTokenTooLong(lexeme, ref position))
            {
                error = SizeError;
                return true;
            }

            if (lexeme == JsonLexeme.None)
            {
                KeepPartialToken(chunk, position);
                error = null;
                return false;
            }

            if (Take(lexeme, chunk[_lexer.TokenStart..position], out error))
            {
                _isFresh = true;
                return true;
            }

            _lexer.Begin(position);
        }
    }

    /// <summary>Parses one whole text.</summary>
    /// <param name="text">UTF-8.</param>
    /// <returns>A tape of its own.</returns>
    /// <exception cref="QmpException">The text is not exactly one JSON value.</exception>
    public static JsonTape Parse(ReadOnlySpan<byte> text)
    {
        var parser = new JsonStreamParser();
        int position = 0;
        bool isRead = parser.TryRead(text, ref position, out string? error) || parser.Finish(out error);
        if (!isRead)
        {
            error = "JSON parse error, expecting value";
        }

        if (error is not null)
        {
            throw new QmpException(error);
        }

        return text[position..].ContainsAnyExcept(" \t\r\n"u8) ? throw new QmpException("Expecting at most one JSON value") : parser.Tape;
    }

    private bool Finish(out string? error)
    {
        var lexeme = _lexer.Finish();
        if (lexeme != JsonLexeme.None && Take(lexeme, default, out error))
        {
            return true;
        }

        error = _isFresh ? null : JsonGrammar.Prefix + (_grammar.Error ?? "premature EOI");
        return !_isFresh;
    }

    private void StartValue()
    {
        _isFresh = false;
        Tape.Clear();
        _grammar.Start(Tape);
        _openDicts = 0;
        _openLists = 0;
        _tokens = 0;
        _textBytes = 0;
        _savedOffset = 0;
    }

    /// <summary>Cuts a token off where it exceeds the limit, be it at its end or not: what follows is read as something new.</summary>
    private bool IsTokenTooLong(JsonLexeme lexeme, ref int position)
    {
        bool hasToken = lexeme != JsonLexeme.None || _lexer.InToken;
        int excess = Tape.TextLength - _savedOffset + position - _lexer.TokenStart - (MaximumTextBytes + 1);
        if (!hasToken || excess < 0)
        {
            return false;
        }

        position -= excess;
        _lexer = default;
        _isFresh = true;
        return true;
    }

    private void KeepPartialToken(ReadOnlySpan<byte> chunk, int position)
    {
        if (_lexer.InToken)
        {
            Tape.AppendText(chunk[_lexer.TokenStart..position]);
        }
    }

    private bool Take(JsonLexeme lexeme, ReadOnlySpan<byte> text, out string? error)
    {
        if (lexeme == JsonLexeme.Error)
        {
            Tape.AppendText(text);
            error = $"{JsonGrammar.Prefix}stray '{PrintableText(Tape.TextFrom(_savedOffset))}'";
            return true;
        }

        CountBrackets(lexeme);
        error = ExceededLimit(Tape.TextLength - _savedOffset + text.Length);
        if (error is not null)
        {
            return true;
        }

        _grammar.Accept(lexeme, text, _savedOffset, _lexer.IsPlain);
        _savedOffset = Tape.TextLength;
        if ((_openDicts > 0 || _openLists > 0) && _openDicts >= 0 && _openLists >= 0)
        {
            return false;
        }

        error = _grammar.Error is null ? null : JsonGrammar.Prefix + _grammar.Error;
        return true;
    }

    private void CountBrackets(JsonLexeme lexeme)
    {
        switch (lexeme)
        {
            case JsonLexeme.BeginDict:
                _openDicts++;
                break;
            case JsonLexeme.EndDict:
                _openDicts--;
                break;
            case JsonLexeme.BeginList:
                _openLists++;
                break;
            case JsonLexeme.EndList:
                _openLists--;
                break;
            default:
                break;
        }
    }

    private string? ExceededLimit(int tokenBytes)
    {
        _textBytes += tokenBytes;
        return _textBytes + 1 > MaximumTextBytes ? SizeError
            : ++_tokens > MaximumTokens ? "JSON token count limit exceeded"
            : _openDicts + _openLists > MaximumNesting ? "JSON nesting depth limit exceeded"
            : null;
    }

    private static string PrintableText(ReadOnlySpan<byte> text)
    {
        int nul = text.IndexOf((byte)0);
        return Encoding.UTF8.GetString(nul < 0 ? text : text[..nul]);
    }
}
