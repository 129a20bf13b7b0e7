namespace Monitor.Qapi.Generator.Model;

/// <summary>Anything a member, argument or return value can be of.</summary>
/// <param name="Name">The schema's name of the type; also the C# name, except of builtins.</param>
/// <param name="Doc">What the type means.</param>
internal abstract record SchemaType(string Name, string Doc);
