namespace Monitor.Qapi.Generator.Model;

/// <summary>A kind of error that programs can tell from others.</summary>
/// <param name="Name">The wire's word.</param>
/// <param name="Doc">What it means.</param>
/// <param name="Texts">The descriptions that it covers; <c>*</c> stands for anything.</param>
internal sealed record ErrorCode(string Name, string Doc, IReadOnlyList<string> Texts);
