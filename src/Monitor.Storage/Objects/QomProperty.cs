namespace Monitor.Storage.Objects;

/// <summary>A property of a type of object.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Its type, a word of QOM.</param>
internal readonly record struct QomProperty(string Name, string Type);
