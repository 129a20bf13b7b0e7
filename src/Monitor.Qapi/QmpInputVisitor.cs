namespace Monitor.Qapi;

/// <summary>Walks one parsed value for the generated readers and writes every argument error.</summary>
public sealed class QmpInputVisitor
{
}
