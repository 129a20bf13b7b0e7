using System.Buffers.Binary;
using System.Numerics;

namespace Monitor.Qapi.Json;

/// <summary>A lexical unit of the input.</summary>
internal enum JsonLexeme : byte
{
    /// <summary>The chunk is used up; no unit has ended in it.</summary>
    None,

    /// <summary><c>{</c></summary>
    BeginDict,

    /// <summary><c>}</c></summary>
    EndDict,

    /// <summary><c>[</c></summary>
    BeginList,

    /// <summary><c>]</c></summary>
    EndList,

    /// <summary><c>:</c></summary>
    Colon,

    /// <summary><c>,</c></summary>
    Comma,

    /// <summary>A string with its quotes, not yet decoded or checked.</summary>
    String,

    /// <summary>A number without fraction or exponent.</summary>
    Integer,

    /// <summary>A number with a fraction or an exponent.</summary>
    Float,

    /// <summary>A run of lower-case letters.</summary>
    Keyword,

    /// <summary>Bytes that begin no unit or break one; the last of them is included.</summary>
    Error,
}

/// <summary>Cuts a byte stream into lexical units, resumable at every byte.</summary>
/// <remarks>
/// <para>It keeps no bytes: the caller hands over chunks and saves the part of a unit that a chunk ends in (<see cref="InToken"/>). A
/// number or word ends at the first byte that cannot continue it, which is left for the next unit.</para>
/// <para>After an error it skips up to a byte where sense may begin again: a bracket, colon or comma, a control character other than
/// tab, or 0xFE and 0xFF (QMP specification, "QGA Synchronization"). That byte is then read as usual.</para>
/// <para>Cost: one pass; strings eight bytes at a time, the rest a few comparisons a byte.</para>
/// </remarks>
internal struct JsonLexer
{
    private State _state;

    private bool _isEscaped;

    private enum State : byte
    {
        Between,
        Recovery,
        DoubleQuoted,
        SingleQuoted,
        Keyword,
        Minus,
        Zero,
        Digits,
        Point,
        Fraction,
        ExponentMark,
        ExponentSign,
        Exponent,
        Ended,
        Broken,
    }

    /// <summary>Where the present unit begins in the chunk; 0 when it began in an earlier one.</summary>
    public int TokenStart { get; private set; }

    /// <summary>The string just read is ASCII without escapes.</summary>
    public bool IsPlain { get; private set; }

    /// <summary>A unit has begun and not ended.</summary>
    public readonly bool InToken => _state > State.Recovery;

    /// <summary>Says that the next call of <see cref="Next"/> sees a new chunk, or goes on at <paramref name="position"/>.</summary>
    public void Begin(int position) => TokenStart = position;

    /// <summary>Reads up to the end of a unit.</summary>
    /// <param name="chunk">The bytes at hand.</param>
    /// <param name="position">Where to go on; moved past what was used.</param>
    /// <returns>The unit that ended at <paramref name="position"/>, or <see cref="JsonLexeme.None"/> at the end of the chunk.</returns>
    public JsonLexeme Next(ReadOnlySpan<byte> chunk, ref int position)
    {
        var lexeme = JsonLexeme.None;
        while (lexeme == JsonLexeme.None && position < chunk.Length)
        {
            lexeme = _state switch
            {
                State.Between => Start(chunk, ref position),
                State.Recovery => Recover(chunk, ref position),
                State.DoubleQuoted => ScanString(chunk, ref position, (byte)'"'),
                State.SingleQuoted => ScanString(chunk, ref position, (byte)'\''),
                State.Keyword => ScanKeyword(chunk, ref position),
                _ => ScanNumber(chunk, ref position),
            };
        }

        return lexeme;
    }

    /// <summary>Ends the input: a number or word in progress ends, a broken unit is an error.</summary>
    public JsonLexeme Finish()
    {
        var state = _state;
        _state = State.Between;
        return state switch
        {
            State.Between or State.Recovery => JsonLexeme.None,
            State.Keyword => JsonLexeme.Keyword,
            State.Zero or State.Digits => JsonLexeme.Integer,
            State.Fraction or State.Exponent => JsonLexeme.Float,
            _ => JsonLexeme.Error,
        };
    }

    private static State AfterNumberByte(State state, byte next)
    {
        bool isDigit = char.IsAsciiDigit((char)next);
        bool isExponent = (next | 0x20) == 'e';
        return state switch
        {
            State.Minus => next == '0' ? State.Zero : isDigit ? State.Digits : State.Broken,
            State.Zero => next == '.' ? State.Point : isDigit ? State.Broken : State.Ended,
            State.Digits => isDigit ? State.Digits : next == '.' ? State.Point : isExponent ? State.ExponentMark : State.Ended,
            State.Point => isDigit ? State.Fraction : State.Broken,
            State.Fraction => isDigit ? State.Fraction : isExponent ? State.ExponentMark : State.Ended,
            State.ExponentMark => isDigit ? State.Exponent : next is (byte)'+' or (byte)'-' ? State.ExponentSign : State.Broken,
            State.ExponentSign => isDigit ? State.Exponent : State.Broken,
            _ => isDigit ? State.Exponent : State.Ended,
        };
    }

    /// <summary>How many of eight bytes, from the lowest on, are printable ASCII, no backslash and not the quote.</summary>
    /// <remarks>A byte's top bit says that it is something else. Subtraction borrows only from above a byte that is, so the lowest is exact.</remarks>
    private static int CountPlain(ulong bytes, byte quote)
    {
        const ulong Ones = 0x0101_0101_0101_0101;
        const ulong Tops = 0x80 * Ones;
        ulong fromQuote = bytes ^ (quote * Ones);
        ulong fromBackslash = bytes ^ ('\\' * Ones);
        ulong others = bytes | (bytes - (0x20 * Ones)) | ((fromQuote - Ones) & ~fromQuote) | ((fromBackslash - Ones) & ~fromBackslash);
        return BitOperations.TrailingZeroCount(others & Tops) >> 3;
    }

    private JsonLexeme Start(ReadOnlySpan<byte> chunk, ref int position)
    {
        TokenStart = position;
        byte first = chunk[position++];
        switch (first)
        {
            case (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n':
                return JsonLexeme.None;
            case (byte)'"':
                return StartString(State.DoubleQuoted);
            case (byte)'\'':
                return StartString(State.SingleQuoted);
            case (byte)'{':
                return JsonLexeme.BeginDict;
            case (byte)'}':
                return JsonLexeme.EndDict;
            case (byte)'[':
                return JsonLexeme.BeginList;
            case (byte)']':
                return JsonLexeme.EndList;
            case (byte)':':
                return JsonLexeme.Colon;
            case (byte)',':
                return JsonLexeme.Comma;
            case (byte)'-':
                _state = State.Minus;
                return JsonLexeme.None;
            case (byte)'0':
                _state = State.Zero;
                return JsonLexeme.None;
            case >= (byte)'1' and <= (byte)'9':
                _state = State.Digits;
                return JsonLexeme.None;
            case >= (byte)'a' and <= (byte)'z':
                _state = State.Keyword;
                return JsonLexeme.None;
            default:
                _state = State.Recovery;
                return JsonLexeme.Error;
        }
    }

    private JsonLexeme StartString(State state)
    {
        _state = state;
        _isEscaped = false;
        IsPlain = true;
        return JsonLexeme.None;
    }

    private JsonLexeme Recover(ReadOnlySpan<byte> chunk, ref int position)
    {
        for (; position < chunk.Length; position++)
        {
            byte next = chunk[position];
            if ((next < 0x20 && next != '\t') || next >= 0xFE || "{}[]:,"u8.Contains(next))
            {
                _state = State.Between;
                break;
            }
        }

        return JsonLexeme.None;
    }

    private JsonLexeme ScanString(ReadOnlySpan<byte> chunk, ref int position, byte quote)
    {
        int at = position;
        while (at < chunk.Length)
        {
            if (!_isEscaped && chunk.Length - at >= sizeof(ulong))
            {
                int plain = CountPlain(BinaryPrimitives.ReadUInt64LittleEndian(chunk[at..]), quote);
                at += plain;
                if (plain == sizeof(ulong))
                {
                    continue;
                }
            }

            byte next = chunk[at++];
            if (next < 0x20 || next >= 0xFE)
            {
                position = at;
                _state = State.Recovery;
                return JsonLexeme.Error;
            }

            if (_isEscaped)
            {
                _isEscaped = false;
            }
            else if (next == quote)
            {
                position = at;
                _state = State.Between;
                return JsonLexeme.String;
            }
            else if (next == '\\' || next >= 0x80)
            {
                _isEscaped = next == '\\';
                IsPlain = false;
            }
        }

        position = at;
        return JsonLexeme.None;
    }

    private JsonLexeme ScanKeyword(ReadOnlySpan<byte> chunk, ref int position)
    {
        while (position < chunk.Length)
        {
            if (!char.IsAsciiLetterLower((char)chunk[position]))
            {
                _state = State.Between;
                return JsonLexeme.Keyword;
            }

            position++;
        }

        return JsonLexeme.None;
    }

    private JsonLexeme ScanNumber(ReadOnlySpan<byte> chunk, ref int position)
    {
        while (position < chunk.Length)
        {
            var state = AfterNumberByte(_state, chunk[position]);
            if (state == State.Ended)
            {
                bool isInteger = _state is State.Zero or State.Digits;
                _state = State.Between;
                return isInteger ? JsonLexeme.Integer : JsonLexeme.Float;
            }

            position++;
            if (state == State.Broken)
            {
                _state = State.Recovery;
                return JsonLexeme.Error;
            }

            _state = state;
        }

        return JsonLexeme.None;
    }
}
