using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>The rules of node names (QEMU: a letter first, then letters, digits, <c>-._</c>; 31 bytes at most).</summary>
public static class NodeName
{
    /// <summary>Bytes a node name may have.</summary>
    public const int MaximumLength = 31;

    private static int s_generated;

    /// <summary>Refuses a name that breaks the rules.</summary>
    /// <exception cref="QmpException">It does.</exception>
    public static void Check(string name)
    {
        if (!IsWellFormed(name))
        {
            throw new QmpException($"Invalid node-name: '{name}'");
        }

        if (name.Length > MaximumLength)
        {
            throw new QmpException("Node name too long");
        }
    }

    /// <summary>A name for a node the client did not name; no client can have given it.</summary>
    public static string Generate() => $"#block{Interlocked.Increment(ref s_generated) - 1}{Random.Shared.Next(100):00}";

    /// <summary>The rule of QEMU's identifiers, also that of job ids and export ids.</summary>
    public static bool IsWellFormed(string id)
    {
        if (id.Length == 0 || !char.IsAsciiLetter(id[0]))
        {
            return false;
        }

        foreach (char c in id)
        {
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('-' or '.' or '_'))
            {
                return false;
            }
        }

        return true;
    }
}
