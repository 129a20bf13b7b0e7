using Microsoft.Win32.SafeHandles;
using Monitor.Qapi.Json;

namespace Monitor.Qapi;

/// <summary>One entry of the command table: what the dispatcher must know to run a command.</summary>
/// <remarks>Made by generated code only; the handler parses all arguments before it calls the command's method.</remarks>
/// <param name="name">The wire name, such as <c>blockdev-add</c>.</param>
/// <param name="options">What the schema says of the command.</param>
/// <param name="handler">Parses the arguments, runs the method, writes the return value.</param>
public sealed class QmpCommand(string name, QmpCommandOptions options, QmpCommandHandler handler)
{
    /// <summary>The wire name.</summary>
    public string Name { get; } = name;

    /// <summary>What the schema says of the command.</summary>
    public QmpCommandOptions Options { get; } = options;

    /// <summary>Runs the command.</summary>
    public QmpCommandHandler Handler { get; } = handler;
}

/// <summary>Runs one command: reads its arguments, calls its method, writes what it returns.</summary>
/// <param name="arguments">At the <c>arguments</c> object, or at an empty object when the client sent none.</param>
/// <param name="reply">Takes the return value; untouched by a command that returns nothing.</param>
/// <exception cref="QmpException">The error reply.</exception>
public delegate ValueTask QmpCommandHandler(QmpInputVisitor arguments, IQmpReply reply);

/// <summary>What the schema says of a command.</summary>
[Flags]
public enum QmpCommandOptions
{
    /// <summary>Nothing special.</summary>
    None = 0,

    /// <summary>May be sent with <c>exec-oob</c>.</summary>
    AllowOob = 1,

    /// <summary>Returns a value, so the handler writes to the reply.</summary>
    ReturnsValue = 2,

    /// <summary>Answers without the loop's lock: reads only immutable or published data.</summary>
    Lockless = 4,
}

/// <summary>Where a command writes its return value.</summary>
public interface IQmpReply
{
    /// <summary>Positioned where the return value goes: exactly one JSON value must be written.</summary>
    JsonWriter Writer { get; }

    /// <summary>The session that asked; commands about the session itself use it.</summary>
    IQmpSessionInfo Session { get; }
}

/// <summary>What a command may know of the session that sent it.</summary>
public interface IQmpSessionInfo
{
    /// <summary>The monitor's id, as given to <c>--monitor id=</c>, or a generated one.</summary>
    string MonitorId { get; }

    /// <summary>The descriptors that clients of that monitor have named.</summary>
    DescriptorNames DescriptorNames { get; }

    /// <summary>Takes the descriptor that came with the command under way, or with one before it that had no use for it.</summary>
    /// <returns>The caller's from now on; <see langword="null"/> when none came.</returns>
    SafeFileHandle? TakeDescriptor();
}
