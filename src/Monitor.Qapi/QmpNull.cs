namespace Monitor.Qapi;

/// <summary>JSON's <c>null</c> where the schema gives it a meaning; its presence is all it says.</summary>
public readonly struct QmpNull
{
    /// <summary>Reads one.</summary>
    /// <param name="visitor">Where to read.</param>
    /// <param name="name">The member's name; <see langword="null"/> for a list's element.</param>
    /// <exception cref="QmpException">The value is not null.</exception>
    public static QmpNull Read(QmpInputVisitor visitor, string? name)
    {
        visitor.ReadNull(name);
        return default;
    }
}
