using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Numerics;
using System.Text;

namespace Monitor.Qapi;

/// <summary>The commands that exist, found by their UTF-8 name without allocating.</summary>
/// <remarks>
/// An open-addressing hash at most half full, filled at start-up and only read from then on, by any thread. A look-up costs one pass
/// over the name for the hash and one for the comparison.
/// </remarks>
public sealed class QmpCommandTable
{
    private readonly List<QmpCommand> _all = new(128);
    private (byte[] Name, QmpCommand Command)?[] _slots = new (byte[], QmpCommand)?[256];

    /// <summary>All commands in the order in which they were added.</summary>
    public IReadOnlyList<QmpCommand> All => _all;

    /// <summary>Adds a command whose name is not in the table yet.</summary>
    /// <param name="command">The command.</param>
    public void Add(QmpCommand command)
    {
        if ((_all.Count + 1) * 2 > _slots.Length)
        {
            Grow();
        }

        _all.Add(command);
        Insert(command);
    }

    /// <summary>Finds a command.</summary>
    /// <param name="utf8Name">The wire name in UTF-8.</param>
    /// <param name="command">The command, when there is one.</param>
    /// <returns>Whether there is one.</returns>
    public bool TryGet(ReadOnlySpan<byte> utf8Name, [NotNullWhen(true)] out QmpCommand? command)
    {
        for (int i = FirstSlot(utf8Name); _slots[i] is { } slot; i = Next(i))
        {
            if (utf8Name.SequenceEqual(slot.Name))
            {
                command = slot.Command;
                return true;
            }
        }

        command = null;
        return false;
    }

    private void Grow()
    {
        _slots = new (byte[], QmpCommand)?[_slots.Length * 2];
        foreach (QmpCommand command in _all)
        {
            Insert(command);
        }
    }

    private void Insert(QmpCommand command)
    {
        byte[] name = Encoding.UTF8.GetBytes(command.Name);
        int i = FirstSlot(name);
        for (; _slots[i] is { } slot; i = Next(i))
        {
            Debug.Assert(!slot.Name.AsSpan().SequenceEqual(name), "a command is added once");
        }

        _slots[i] = (name, command);
    }

    private int Next(int slot) => (slot + 1) & (_slots.Length - 1);

    /// <summary>FNV-1a, folded, since the low bits alone are weak for names that end alike.</summary>
    private int FirstSlot(ReadOnlySpan<byte> name)
    {
        uint hash = 2166136261;
        foreach (byte b in name)
        {
            hash = (hash ^ b) * 16777619;
        }

        return (int)(BitOperations.RotateLeft(hash, 16) ^ hash) & (_slots.Length - 1);
    }
}
