using System.Diagnostics.CodeAnalysis;
using System.Text;
using Monitor.Qapi.Json;
using Monitor.Qapi.Keyval;

namespace Monitor.Qapi;

/// <summary>Walks one parsed value for the generated readers and writes every argument error.</summary>
/// <remarks>
/// <para>Members are asked for in schema order, so the first that is missing or of a wrong type is the error; <see cref="CheckStruct"/>
/// then refuses what nobody asked for. A <see langword="null"/> name means the root, or the present item of a list.</para>
/// <para>Example, for a struct with <c>name</c> and optional <c>sizes</c>:
/// <c>StartStruct(n); ReadString("name"); if (HasMember("sizes")) { StartList("sizes"); while (NextItem()) ReadInt64(null); EndList(); } CheckStruct(); EndStruct();</c>.</para>
/// <para>Errors that name a place give the dotted path from the root (<c>actions[0].data.name</c>), those about a value out of range or an
/// enum or alternate only the member's own name, as QEMU does. Cost: a member is found by searching its dict; nothing is
/// allocated but the strings returned.</para>
/// </remarks>
public sealed class QmpInputVisitor
{
    private Frame[] _frames = new Frame[8];

    private int _depth;

    private int _root;

    private JsonTape _tape;

    /// <summary>Makes a visitor at a value of a tape.</summary>
    /// <param name="tape">Holds the value; must not change while the visitor is used.</param>
    /// <param name="root">The value's token.</param>
    public QmpInputVisitor(JsonTape tape, int root = 0)
    {
        _tape = tape;
        _root = root;
    }

    /// <summary>Makes a visitor at the root of a JSON text.</summary>
    /// <param name="json">One JSON value, read as the monitor reads it.</param>
    /// <exception cref="QmpException">It is no JSON value.</exception>
    public static QmpInputVisitor Parse(string json) => new(JsonStreamParser.Parse(Encoding.UTF8.GetBytes(json)));

    /// <summary>Moves the visitor to another value, so that it can be reused.</summary>
    /// <param name="tape">Holds the value.</param>
    /// <param name="root">The value's token.</param>
    public void Reset(JsonTape tape, int root)
    {
        _tape = tape;
        _root = root;
        _depth = 0;
    }

    /// <summary>Enters an object.</summary>
    /// <exception cref="QmpException">It is missing or not an object.</exception>
    public void StartStruct(string? name) => Push(Expect(name, JsonTokenKind.Dict, "object"), name);

    /// <summary>Refuses members of the present object that nobody asked for.</summary>
    /// <exception cref="QmpException">There is one.</exception>
    public void CheckStruct()
    {
        int dict = _frames[_depth - 1].Container;
        int end = _tape.EndOf(dict);
        for (int key = dict + 1; key < end; key = _tape.EndOf(key + 1))
        {
            if (!_tape.IsVisited(key))
            {
                throw new QmpException($"Parameter '{PathOf(_tape.StringOf(key))}' is unexpected");
            }
        }
    }

    /// <summary>Leaves the present object.</summary>
    public void EndStruct() => _depth--;

    /// <summary>Whether the present object has a member.</summary>
    public bool HasMember(string name) => _tape.FindKey(_frames[_depth - 1].Container, name) >= 0;

    /// <summary>Enters a list, before its first item.</summary>
    /// <exception cref="QmpException">It is missing or not a list.</exception>
    public void StartList(string? name) => Push(Expect(name, JsonTokenKind.List, "array"), name);

    /// <summary>Moves to the next item of the present list.</summary>
    /// <returns><see langword="false"/> when there is none.</returns>
    public bool NextItem()
    {
        ref var frame = ref _frames[_depth - 1];
        frame.Item = frame.Item < 0 ? frame.Container + 1 : _tape.EndOf(frame.Item);
        frame.Index++;
        return frame.Item < _tape.EndOf(frame.Container);
    }

    /// <summary>Leaves the present list.</summary>
    public void EndList() => _depth--;

    /// <summary>Says what kind of value is there, for a reader that accepts several.</summary>
    /// <exception cref="QmpException">It is missing.</exception>
    public QmpValueKind PeekKind(string? name) => QmpValue.KindOf(_tape.KindOf(Locate(name)));

    /// <summary>Reads a string.</summary>
    /// <exception cref="QmpException">It is missing or not a string.</exception>
    public string ReadString(string? name) => _tape.StringOf(Expect(name, JsonTokenKind.String, "string"));

    /// <summary>Reads a boolean.</summary>
    /// <exception cref="QmpException">It is missing or not a boolean.</exception>
    public bool ReadBool(string? name)
    {
        int token = Locate(name);
        if (_tape.IsKeyval)
        {
            return KeyvalScalar.ParseBool(KeyvalText(token, name, "boolean")) ?? throw InvalidValue(name, "'on' or 'off'");
        }

        return _tape.KindOf(token) switch
        {
            JsonTokenKind.True => true,
            JsonTokenKind.False => false,
            _ => throw InvalidType(name, "boolean"),
        };
    }

    /// <summary>Reads a signed integer.</summary>
    /// <exception cref="QmpException">It is missing, not an integer, or too large.</exception>
    public long ReadInt64(string? name)
    {
        int token = Locate(name);
        if (_tape.IsKeyval)
        {
            return KeyvalScalar.ParseInt64(KeyvalText(token, name, "integer")) ?? throw InvalidValue(name, "integer");
        }

        return _tape.KindOf(token) == JsonTokenKind.Integer && long.TryParse(_tape.TextOf(token), out long value)
            ? value
            : throw InvalidType(name, "integer");
    }

    /// <summary>Reads an unsigned integer; a negative one is taken modulo 2⁶⁴, as QEMU does.</summary>
    /// <exception cref="QmpException">It is missing, not an integer, or too large.</exception>
    public ulong ReadUInt64(string? name)
    {
        int token = Locate(name);
        if (_tape.IsKeyval)
        {
            return KeyvalScalar.ParseUInt64(KeyvalText(token, name, "integer")) ?? throw InvalidValue(name, "integer");
        }

        return ParseUnsigned(token) ?? throw InvalidValue(name, "uint64");
    }

    /// <summary>Reads a size in bytes; in keyval form it may have a suffix such as <c>k</c> or <c>G</c>.</summary>
    /// <exception cref="QmpException">It is missing, not a size, or too large.</exception>
    public ulong ReadSize(string? name)
    {
        int token = Locate(name);
        if (_tape.IsKeyval)
        {
            return KeyvalScalar.ParseSize(KeyvalText(token, name, "size")) ?? throw InvalidValue(name, "a size value");
        }

        return ParseUnsigned(token) ?? throw InvalidValue(name, "uint64");
    }

    /// <summary>Reads an <see cref="int"/>.</summary>
    /// <exception cref="QmpException">It is missing, not an integer, or out of range.</exception>
    public int ReadInt32(string? name) => (int)ReadSigned(name, int.MinValue, int.MaxValue, "int32_t");

    /// <summary>Reads a <see cref="short"/>.</summary>
    /// <exception cref="QmpException">It is missing, not an integer, or out of range.</exception>
    public short ReadInt16(string? name) => (short)ReadSigned(name, short.MinValue, short.MaxValue, "int16_t");

    /// <summary>Reads an <see cref="sbyte"/>.</summary>
    /// <exception cref="QmpException">It is missing, not an integer, or out of range.</exception>
    public sbyte ReadInt8(string? name) => (sbyte)ReadSigned(name, sbyte.MinValue, sbyte.MaxValue, "int8_t");

    /// <summary>Reads a <see cref="uint"/>.</summary>
    /// <exception cref="QmpException">It is missing, not an integer, or out of range.</exception>
    public uint ReadUInt32(string? name) => (uint)ReadUnsigned(name, uint.MaxValue, "uint32_t");

    /// <summary>Reads a <see cref="ushort"/>.</summary>
    /// <exception cref="QmpException">It is missing, not an integer, or out of range.</exception>
    public ushort ReadUInt16(string? name) => (ushort)ReadUnsigned(name, ushort.MaxValue, "uint16_t");

    /// <summary>Reads a <see cref="byte"/>.</summary>
    /// <exception cref="QmpException">It is missing, not an integer, or out of range.</exception>
    public byte ReadUInt8(string? name) => (byte)ReadUnsigned(name, byte.MaxValue, "uint8_t");

    /// <summary>Reads a number of either form; one beyond the range of <see cref="double"/> is an infinity.</summary>
    /// <exception cref="QmpException">It is missing or not a number.</exception>
    public double ReadNumber(string? name)
    {
        int token = Locate(name);
        if (_tape.IsKeyval)
        {
            return KeyvalScalar.ParseNumber(KeyvalText(token, name, "number")) ?? throw InvalidType(name, "number");
        }

        return _tape.KindOf(token) is JsonTokenKind.Integer or JsonTokenKind.Float
            ? double.Parse(_tape.TextOf(token))
            : throw InvalidType(name, "number");
    }

    /// <summary>Reads <c>null</c>; in keyval form the empty string.</summary>
    /// <exception cref="QmpException">It is missing or not null.</exception>
    public void ReadNull(string? name)
    {
        int token = Locate(name);
        bool isNull = _tape.IsKeyval
            ? _tape.KindOf(token) == JsonTokenKind.String && _tape.TextOf(token).IsEmpty
            : _tape.KindOf(token) == JsonTokenKind.Null;
        if (!isNull)
        {
            throw InvalidType(name, "null");
        }
    }

    /// <summary>The error for a string that is no value of an enum.</summary>
    [SuppressMessage("Performance", "CA1822", Justification = "Every error is asked of the visitor.")]
    public QmpException InvalidEnum(string? name, string value) =>
        new($"Parameter '{name ?? "null"}' does not accept value '{value}'");

    /// <summary>The error for a value that is no branch of an alternate.</summary>
    /// <param name="name">The member.</param>
    /// <param name="expected">The alternate's name in the schema.</param>
    [SuppressMessage("Performance", "CA1822", Justification = "Every error is asked of the visitor.")]
    public QmpException InvalidAlternate(string? name, string expected) =>
        new($"Invalid parameter type for '{name ?? "null"}', expected: {expected}");

    /// <summary>The dotted path from the root to a member of the present object, or to the present item of the list.</summary>
    public string PathOf(string? name)
    {
        var path = new StringBuilder();
        for (int i = 0; i < _depth; i++)
        {
            if (_tape.KindOf(_frames[i].Container) == JsonTokenKind.List)
            {
                path.Append('[').Append(_frames[i].Index).Append(']');
            }
            else
            {
                path.Append(path.Length > 0 ? "." : "").Append(i + 1 < _depth ? _frames[i + 1].Name : name);
            }
        }

        return path.Length > 0 ? path.ToString() : name ?? "<anonymous>";
    }

    /// <summary>The value as a tree of its own.</summary>
    internal QmpValue ReadTree(string? name) => QmpValue.FromTape(_tape, Locate(name));

    private int Locate(string? name)
    {
        if (_depth == 0)
        {
            return _root;
        }

        ref var frame = ref _frames[_depth - 1];
        if (name is null)
        {
            return frame.Item;
        }

        int key = _tape.FindKey(frame.Container, name);
        if (key < 0)
        {
            throw new QmpException($"Parameter '{PathOf(name)}' is missing");
        }

        _tape.MarkVisited(key);
        return key + 1;
    }

    private int Expect(string? name, JsonTokenKind kind, string expected)
    {
        int token = Locate(name);
        return _tape.KindOf(token) == kind ? token : throw InvalidType(name, expected);
    }

    private void Push(int container, string? name)
    {
        if (_depth == _frames.Length)
        {
            Array.Resize(ref _frames, _depth * 2);
        }

        _frames[_depth++] = new Frame { Container = container, Item = -1, Index = -1, Name = name };
    }

    private ReadOnlySpan<byte> KeyvalText(int token, string? name, string expected) =>
        _tape.KindOf(token) == JsonTokenKind.String ? _tape.TextOf(token) : throw InvalidType(name, expected);

    private ulong? ParseUnsigned(int token)
    {
        if (_tape.KindOf(token) != JsonTokenKind.Integer)
        {
            return null;
        }

        var text = _tape.TextOf(token);
        return ulong.TryParse(text, out ulong value) ? value
            : long.TryParse(text, out long negative) ? unchecked((ulong)negative)
            : null;
    }

    private long ReadSigned(string? name, long minimum, long maximum, string expected)
    {
        long value = ReadInt64(name);
        return value >= minimum && value <= maximum ? value : throw OutOfRange(name, expected);
    }

    private ulong ReadUnsigned(string? name, ulong maximum, string expected)
    {
        ulong value = ReadUInt64(name);
        return value <= maximum ? value : throw OutOfRange(name, expected);
    }

    private static QmpException OutOfRange(string? name, string expected) => new($"Parameter '{name ?? "null"}' expects {expected}");

    private QmpException InvalidValue(string? name, string expected) => new($"Parameter '{PathOf(name)}' expects {expected}");

    private QmpException InvalidType(string? name, string expected) =>
        new($"Invalid parameter type for '{PathOf(name)}', expected: {expected}");

    private struct Frame
    {
        public int Container;
        public int Item;
        public int Index;
        public string? Name;
    }
}
