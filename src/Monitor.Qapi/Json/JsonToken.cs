namespace Monitor.Qapi.Json;

/// <summary>What a token of a <see cref="JsonTape"/> is.</summary>
public enum JsonTokenKind : byte
{
    /// <summary><c>null</c>.</summary>
    Null,

    /// <summary><c>false</c>.</summary>
    False,

    /// <summary><c>true</c>.</summary>
    True,

    /// <summary>A number without fraction or exponent, of any size.</summary>
    Integer,

    /// <summary>A number with a fraction or an exponent.</summary>
    Float,

    /// <summary>A string value.</summary>
    String,

    /// <summary>An array; its items follow.</summary>
    List,

    /// <summary>An object; its members follow, each a <see cref="Key"/> and then a value.</summary>
    Dict,

    /// <summary>The name of an object's member.</summary>
    Key,
}

/// <summary>One value or member name on a <see cref="JsonTape"/>: where its text is and where the next sibling begins.</summary>
internal struct JsonToken
{
    /// <summary>What it is.</summary>
    public JsonTokenKind Kind;

    /// <summary>Set on a key when a reader has asked for the member; what remains unset is unexpected.</summary>
    public bool Visited;

    /// <summary>First byte of its text on the tape.</summary>
    public int Offset;

    /// <summary>Bytes of its text: a number as written, a string or key decoded to UTF-8.</summary>
    public int Length;

    /// <summary>Index of the token after this value and all that it contains.</summary>
    public int End;
}
