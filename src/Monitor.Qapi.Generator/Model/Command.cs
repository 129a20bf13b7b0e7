namespace Monitor.Qapi.Generator.Model;

/// <summary>A command of the wire.</summary>
/// <param name="Name">The wire name.</param>
/// <param name="Module">The schema file that declares it.</param>
/// <param name="Doc">What it does.</param>
/// <param name="Data">The name of its argument type; <see langword="null"/> when it takes none.</param>
/// <param name="Returns">What it returns; <see langword="null"/> for nothing.</param>
/// <param name="Traits">The marks on its entry.</param>
/// <param name="Action">The transaction action that carries it out, if it is one.</param>
/// <param name="Features">Marks for introspection.</param>
internal sealed record Command(
    string Name,
    string Module,
    string Doc,
    string? Data,
    TypeReference? Returns,
    CommandTraits Traits,
    string? Action,
    IReadOnlyList<string> Features)
{
    public bool IsPlanned => Traits.HasFlag(CommandTraits.Planned);

    /// <summary>Whether an interface method of its module runs it.</summary>
    public bool HasMethod => Action is null && (Traits & (CommandTraits.Planned | CommandTraits.Session | CommandTraits.HandWritten)) == 0;
}

/// <summary>The yes-or-no marks of a command's entry.</summary>
[Flags]
internal enum CommandTraits
{
    None = 0,

    /// <summary><c>planned</c>: declared, not implemented.</summary>
    Planned = 1,

    /// <summary><c>session</c>: the session itself answers it.</summary>
    Session = 2,

    /// <summary><c>gen: false</c>: answered by hand-written code.</summary>
    HandWritten = 4,

    /// <summary><c>allow-oob</c>.</summary>
    AllowOob = 8,

    /// <summary><c>lockless</c>: runs without the loop's lock.</summary>
    Lockless = 16,

    /// <summary><c>takes-session</c>: its method is told which session asks.</summary>
    TakesSession = 32,
}
