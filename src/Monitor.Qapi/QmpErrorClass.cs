namespace Monitor.Qapi;

/// <summary>The error classes of QMP (QAPI <c>QapiErrorClass</c>); the member names are the wire's words.</summary>
public enum QmpErrorClass
{
    /// <summary>Everything without a class of its own.</summary>
    GenericError,

    /// <summary>The command does not exist, or not in the session's present mode.</summary>
    CommandNotFound,

    /// <summary>A device is not active.</summary>
    DeviceNotActive,

    /// <summary>A device, node or job was not found.</summary>
    DeviceNotFound,

    /// <summary>KVM is required and absent.</summary>
    KVMMissingCap,
}
