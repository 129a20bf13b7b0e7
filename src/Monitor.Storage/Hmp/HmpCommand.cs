using System.Text;
using Monitor.Qapi;

namespace Monitor.Storage.Hmp;

/// <summary>A command of the human monitor.</summary>
internal abstract class HmpCommand
{
    /// <summary>Its name and after bars its short names.</summary>
    public abstract string Name { get; }

    /// <summary>What it does, for <c>help</c>.</summary>
    public abstract string Help { get; }

    /// <summary>What follows the name, in order.</summary>
    public virtual IReadOnlyList<HmpParameter> Parameters => [];

    /// <summary>Commands that the next word chooses from, such as those of <c>info</c>.</summary>
    public virtual IReadOnlyList<HmpCommand> Subcommands => [];

    /// <summary>Carries it out; a turn.</summary>
    /// <param name="arguments">What followed the name.</param>
    /// <param name="output">What it prints, lines ended by LF.</param>
    /// <exception cref="QmpException">It cannot be done.</exception>
    public abstract ValueTask RunAsync(HmpArguments arguments, StringBuilder output);

    /// <summary>Whether a word names it.</summary>
    public bool IsNamed(ReadOnlySpan<char> word)
    {
        foreach (Range part in Name.AsSpan().Split('|'))
        {
            if (word.SequenceEqual(Name.AsSpan(part)))
            {
                return true;
            }
        }

        return false;
    }
}
