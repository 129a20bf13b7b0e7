using Monitor.Qapi;

namespace Unit.Storage;

/// <summary>Events of tests that look at none.</summary>
internal sealed class DiscardedEvents : IEventSink
{
    public void Emit<TData>(string name, TData? data)
        where TData : class, IQapiOutput
    {
    }
}
