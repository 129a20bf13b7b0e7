using Monitor.Qapi;
using Monitor.Storage.Objects;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>misc</c>: objects.</summary>
/// <param name="objects">Where they are kept.</param>
public sealed class MiscCommands(ObjectStore objects) : IMiscCommands
{
    /// <inheritdoc/>
    public ValueTask ObjectAddAsync(ObjectOptions arguments)
    {
        objects.Add(arguments);
        return default;
    }

    /// <inheritdoc/>
    public ValueTask ObjectDelAsync(ObjectDelArguments arguments)
    {
        objects.Remove(arguments.Id);
        return default;
    }
}
