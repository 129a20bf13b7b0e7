using Monitor.Qapi;

namespace Unit.Qcow2;

/// <summary>Keeps the names and data of events.</summary>
internal sealed class EventRecorder : IEventSink
{
    public List<(string Name, object? Data)> Events { get; } = [];

    public void Emit<TData>(string name, TData? data)
        where TData : class, IQapiOutput => Events.Add((name, data));
}
