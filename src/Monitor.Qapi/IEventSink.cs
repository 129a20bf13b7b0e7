using Monitor.Qapi.Json;

namespace Monitor.Qapi;

/// <summary>Where the floors below put their events; the roof wires it to the sessions.</summary>
/// <remarks>Called from turns of the loop and from data-plane threads alike; never blocks and never throws.</remarks>
public interface IEventSink
{
    /// <summary>Sends one event to every negotiated session, stamped with the present time.</summary>
    /// <typeparam name="TData">The event's generated data type.</typeparam>
    /// <param name="name">The event's wire name, such as <c>JOB_STATUS_CHANGE</c>.</param>
    /// <param name="data">The event's data; <see langword="null"/> for an event without any.</param>
    void Emit<TData>(string name, TData? data)
        where TData : class, IQapiOutput;
}

/// <summary>A generated type that can write itself as a JSON value.</summary>
public interface IQapiOutput
{
    /// <summary>Writes this value, an object with its members in schema order.</summary>
    /// <param name="writer">Where to write.</param>
    void Write(JsonWriter writer);
}
