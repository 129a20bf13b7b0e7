using System.Globalization;
using System.Text;
using Monitor.Qapi.Json;

namespace Monitor.Qapi;

/// <summary>A value whose type the schema leaves open (QAPI <c>any</c>), kept as a tree.</summary>
public sealed class QmpValue
{
    private readonly List<KeyValuePair<string, QmpValue>> _children = [];

    private QmpValue(JsonTokenKind kind, string text)
    {
        TokenKind = kind;
        Text = text;
    }

    /// <summary>What kind of value it is.</summary>
    public QmpValueKind Kind => KindOf(TokenKind);

    /// <summary>A string's text, a number as it was written, <c>true</c> or <c>false</c>; otherwise empty.</summary>
    public string Text { get; }

    /// <summary>A dict's members, or a list's items with empty keys.</summary>
    public IReadOnlyList<KeyValuePair<string, QmpValue>> Children => _children;

    private JsonTokenKind TokenKind { get; }

    /// <summary>A string.</summary>
    public static QmpValue FromString(string text) => new(JsonTokenKind.String, text);

    /// <summary>An integer.</summary>
    public static QmpValue FromInteger(long value) => new(JsonTokenKind.Integer, value.ToString(CultureInfo.InvariantCulture));

    /// <summary>True or false.</summary>
    public static QmpValue FromBool(bool value) => new(value ? JsonTokenKind.True : JsonTokenKind.False, value ? "true" : "false");

    /// <summary>A dict.</summary>
    public static QmpValue FromMembers(IEnumerable<KeyValuePair<string, QmpValue>> members)
    {
        var dict = new QmpValue(JsonTokenKind.Dict, "");
        dict._children.AddRange(members);
        return dict;
    }

    /// <summary>A visitor at an object whose one member is this value, so that errors about it give the member's name.</summary>
    public QmpInputVisitor VisitAsMember(string name)
    {
        var writer = new JsonWriter();
        FromMembers([KeyValuePair.Create(name, this)]).Write(writer);
        return QmpInputVisitor.Parse(writer.ToString());
    }

    /// <summary>Reads any value.</summary>
    /// <exception cref="QmpException">It is missing.</exception>
    public static QmpValue Read(QmpInputVisitor v, string? name) => v.ReadTree(name);

    /// <summary>Writes the value as it was read; a number beyond the range of <see cref="double"/> keeps its digits.</summary>
    public void Write(JsonWriter w)
    {
        switch (TokenKind)
        {
            case JsonTokenKind.Null:
                w.WriteNull();
                break;
            case JsonTokenKind.True or JsonTokenKind.False:
                w.WriteBoolean(TokenKind == JsonTokenKind.True);
                break;
            case JsonTokenKind.String:
                w.WriteString(Text);
                break;
            case JsonTokenKind.List or JsonTokenKind.Dict:
                WriteContainer(w);
                break;
            default:
                w.WriteRaw(Encoding.ASCII.GetBytes(Text));
                break;
        }
    }

    /// <summary>The kind that a token is of.</summary>
    internal static QmpValueKind KindOf(JsonTokenKind token) => token switch
    {
        JsonTokenKind.Null => QmpValueKind.Null,
        JsonTokenKind.True or JsonTokenKind.False => QmpValueKind.Bool,
        JsonTokenKind.String => QmpValueKind.String,
        JsonTokenKind.List => QmpValueKind.List,
        JsonTokenKind.Dict => QmpValueKind.Dict,
        _ => QmpValueKind.Number,
    };

    /// <summary>Copies the value at <paramref name="token"/> off a tape.</summary>
    internal static QmpValue FromTape(JsonTape tape, int token)
    {
        var kind = tape.KindOf(token);
        string text = kind switch
        {
            JsonTokenKind.True => "true",
            JsonTokenKind.False => "false",
            JsonTokenKind.String or JsonTokenKind.Integer or JsonTokenKind.Float => tape.StringOf(token),
            _ => "",
        };
        var value = new QmpValue(kind, text);
        int end = tape.EndOf(token);
        for (int child = token + 1; child < end; child = tape.EndOf(child))
        {
            string key = "";
            if (kind == JsonTokenKind.Dict)
            {
                key = tape.StringOf(child++);
            }

            value._children.Add(KeyValuePair.Create(key, FromTape(tape, child)));
        }

        return value;
    }

    private void WriteContainer(JsonWriter w)
    {
        bool isDict = TokenKind == JsonTokenKind.Dict;
        if (isDict)
        {
            w.WriteStartObject();
        }
        else
        {
            w.WriteStartArray();
        }

        foreach (var (key, child) in _children)
        {
            if (isDict)
            {
                w.WriteName(key);
            }

            child.Write(w);
        }

        if (isDict)
        {
            w.WriteEndObject();
        }
        else
        {
            w.WriteEndArray();
        }
    }
}
