namespace Monitor.Qapi;

/// <summary>The kinds of JSON value that an alternate can tell apart.</summary>
public enum QmpValueKind
{
    /// <summary><c>null</c>.</summary>
    Null,

    /// <summary><c>true</c> or <c>false</c>.</summary>
    Bool,

    /// <summary>A number of either form.</summary>
    Number,

    /// <summary>A string; in keyval form every scalar.</summary>
    String,

    /// <summary>An array.</summary>
    List,

    /// <summary>An object.</summary>
    Dict,
}
