namespace QmpShell;

/// <summary>The server answered a command with an error.</summary>
/// <param name="errorClass">The error's class, such as <c>GenericError</c>.</param>
/// <param name="description">The server's text.</param>
public sealed class QmpErrorException(string errorClass, string description) : Exception(description)
{
    /// <summary>The error's class, such as <c>GenericError</c>.</summary>
    public string ErrorClass { get; } = errorClass;
}
