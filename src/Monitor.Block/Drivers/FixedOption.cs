using Monitor.Qapi;

namespace Monitor.Block.Drivers;

/// <summary>The rule of options that stay as they are while a node is open.</summary>
internal static class FixedOption
{
    /// <summary>Refuses a change.</summary>
    /// <param name="name">The option's wire name.</param>
    /// <param name="before">Its value at open; null if it was not given.</param>
    /// <param name="after">Its value now asked for; null if it is not given.</param>
    /// <exception cref="QmpException">They differ.</exception>
    public static void Check<T>(string name, T before, T after)
    {
        if (!EqualityComparer<T>.Default.Equals(before, after))
        {
            throw new QmpException(after is null ? $"Option '{name}' cannot be reset to its default value" : $"Cannot change the option '{name}'");
        }
    }
}
