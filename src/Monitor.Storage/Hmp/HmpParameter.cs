namespace Monitor.Storage.Hmp;

/// <summary>One parameter of a command of the human monitor, by its place in the line.</summary>
/// <param name="Name">What help shows; a flag's single letter.</param>
/// <param name="Kind">What it takes.</param>
/// <param name="IsOptional">Whether it may be left out; flags always may.</param>
internal readonly record struct HmpParameter(string Name, HmpParameterKind Kind, bool IsOptional = false)
{
    /// <summary>A flag, written <c>-x</c>.</summary>
    public static HmpParameter Flag(char letter) => new(letter.ToString(), HmpParameterKind.Flag, true);

    /// <summary>As help shows it.</summary>
    public override string ToString() => Kind == HmpParameterKind.Flag ? $"[-{Name}]" : IsOptional ? $"[{Name}]" : Name;
}

/// <summary>What a parameter takes.</summary>
internal enum HmpParameterKind
{
    /// <summary>A dash and a letter.</summary>
    Flag,

    /// <summary>A word, or anything between quotes.</summary>
    Text,

    /// <summary>The same, naming a node or drive.</summary>
    Device,

    /// <summary>A decimal number, or a hexadecimal one behind 0x.</summary>
    Number,
}
