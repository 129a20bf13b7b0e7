namespace Monitor.Block;

/// <summary>A backing file as an image's header names it.</summary>
/// <param name="FileName">A path, relative to the image's directory if it does not begin with <c>/</c>; or <c>json:</c> options.</param>
/// <param name="Format">The driver's name, such as <c>qcow2</c>; <see langword="null"/> when the header is silent and the file must be probed.</param>
public sealed record BackingImage(string FileName, string? Format);
