using Microsoft.Win32.SafeHandles;
using Monitor.Qapi;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>descriptor</c>: open descriptors that clients send.</summary>
public sealed class DescriptorCommands : IDescriptorCommands
{
    /// <inheritdoc/>
    public ValueTask GetfdAsync(GetfdArguments arguments, IQmpSessionInfo session)
    {
        session.DescriptorNames.Add(arguments.Fdname, Take(session));
        return default;
    }

    /// <inheritdoc/>
    public ValueTask ClosefdAsync(ClosefdArguments arguments, IQmpSessionInfo session)
    {
        using SafeFileHandle handle = session.DescriptorNames.Take(arguments.Fdname)
            ?? throw new QmpException($"File descriptor named '{arguments.Fdname}' not found");
        return default;
    }

    /// <inheritdoc/>
    public ValueTask<AddfdInfo> AddFdAsync(AddFdArguments arguments, IQmpSessionInfo session) =>
        new(DescriptorSets.Add(Take(session), arguments.FdsetId, arguments.Opaque));

    /// <inheritdoc/>
    public ValueTask RemoveFdAsync(RemoveFdArguments arguments)
    {
        DescriptorSets.Remove(arguments.FdsetId, arguments.Fd);
        return default;
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<FdsetInfo>> QueryFdsetsAsync() => new(DescriptorSets.Query());

    private static SafeFileHandle Take(IQmpSessionInfo session) =>
        session.TakeDescriptor() ?? throw new QmpException("No file descriptor supplied via SCM_RIGHTS");
}
