namespace Monitor.Qapi;

/// <summary>The client must change something: the error reply of a QMP command (QMP spec, section 2.4.2 "error").</summary>
/// <remarks>Its message is the wire's <c>desc</c>, worded as QEMU words it.</remarks>
public sealed class QmpException : Exception
{
    /// <summary>Makes an error of class <c>GenericError</c>.</summary>
    /// <param name="description">The text the client reads, QEMU's wording, without a final period.</param>
    public QmpException(string description)
        : this(QmpErrorClass.GenericError, description)
    {
    }

    /// <summary>Makes an error of the given class.</summary>
    /// <param name="errorClass">The class clients may act on.</param>
    /// <param name="description">The text the client reads, QEMU's wording, without a final period.</param>
    public QmpException(QmpErrorClass errorClass, string description)
        : base(description) => ErrorClass = errorClass;

    /// <summary>The class clients may act on.</summary>
    public QmpErrorClass ErrorClass { get; }

    /// <summary>A line that helps a person at a terminal, without its end; it does not go over the wire.</summary>
    public string? Hint { get; init; }
}
