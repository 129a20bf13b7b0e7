using System.Runtime.InteropServices;
using Monitor.Qapi;
using Monitor.Storage.Drives;
using Monitor.Storage.Objects;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>machine</c>: what clients made for a virtual machine ask, answered for a daemon that has none.</summary>
/// <param name="objects">The iothreads.</param>
/// <param name="runState">What <c>stop</c> and <c>cont</c> set.</param>
/// <param name="identity">What the command line calls it.</param>
public sealed class MachineCommands(ObjectStore objects, MachineRunState runState, MachineIdentity identity) : IMachineCommands
{
    /// <inheritdoc/>
    public ValueTask<StatusInfo> QueryStatusAsync() => new(runState.Describe());

    /// <inheritdoc/>
    public ValueTask StopAsync()
    {
        runState.Stop(RunState.Paused);
        return default;
    }

    /// <inheritdoc/>
    public ValueTask ContAsync()
    {
        runState.Continue();
        return default;
    }

    /// <inheritdoc/>
    public ValueTask<NameInfo> QueryNameAsync() => new(new NameInfo { Name = identity.Name });

    /// <inheritdoc/>
    public ValueTask<UuidInfo> QueryUuidAsync() => new(new UuidInfo { Uuid = identity.Uuid.ToString() });

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<IOThreadInfo>> QueryIothreadsAsync() =>
        new([.. objects.All.OfType<IothreadObject>().Select(iothread => iothread.Describe())]);

    /// <inheritdoc/>
    public ValueTask<TargetInfo> QueryTargetAsync() => new(new TargetInfo
    {
        Arch = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? SysEmuTarget.Aarch64 : SysEmuTarget.X8664,
    });

    /// <inheritdoc/>
    public ValueTask<KvmInfo> QueryKvmAsync() => new(new KvmInfo { Enabled = false, Present = false });

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<TPMInfo>> QueryTpmAsync() => new([]);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<CpuInfoFast>> QueryCpusFastAsync() => new([]);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<MachineInfo>> QueryMachinesAsync() => new(
    [
        new MachineInfo
        {
            Name = "none",
            CpuMax = 1,
            HotpluggableCpus = false,
            NumaMemSupported = false,
            Deprecated = false,
            DefaultRamId = "ram",
        },
    ]);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<CommandLineOptionInfo>> QueryCommandLineOptionsAsync(QueryCommandLineOptionsArguments arguments)
    {
        IReadOnlyList<CommandLineOptionInfo> all =
        [
            new() { Option = "object", Parameters = [] },
            new() { Option = "mon", Parameters = [Parameter("pretty", isText: false), Parameter("chardev"), Parameter("mode")] },
        ];
        if (arguments.Option is not { } wanted)
        {
            return new(all);
        }

        CommandLineOptionInfo? found = all.FirstOrDefault(option => option.Option == wanted);
        return found is null ? throw new QmpException($"invalid option name: {wanted}") : new([found]);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<MigrationCapabilityStatus>> QueryMigrateCapabilitiesAsync() => new([]);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<ObjectPropertyInfo>> DeviceListPropertiesAsync(DeviceListPropertiesArguments arguments) =>
        DeviceModel.Find(arguments.Typename) is { } model && model.Name == arguments.Typename ? new(Describe(model))
        : throw (QomType.Find(arguments.Typename) is null
            ? new QmpException(QmpErrorClass.DeviceNotFound, $"Device '{arguments.Typename}' not found")
            : new QmpException("Parameter 'typename' expects a non-abstract device type"));

    private static List<ObjectPropertyInfo> Describe(DeviceModel model)
    {
        var properties = new List<ObjectPropertyInfo>();
        foreach (DeviceProperty property in model.Properties ?? [])
        {
            properties.Add(new ObjectPropertyInfo { Name = property.Name, Type = property.Type });
        }

        if (model.TakesDrive)
        {
            properties.Add(new ObjectPropertyInfo { Name = "drive", Type = "str", Description = "Node name or ID of a block device to use as a backend" });
        }

        return properties;
    }

    private static CommandLineParameterInfo Parameter(string name, bool isText = true) =>
        new() { Name = name, Type = isText ? CommandLineParameterType.String : CommandLineParameterType.Boolean };
}
