namespace Monitor.Qapi.Generator;

/// <summary>The schema breaks its own rules; the message begins with the module and entry at fault.</summary>
internal sealed class SchemaException : Exception
{
    public SchemaException(string where, string message)
        : base($"{where}: {message}")
    {
    }
}
