using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Finds COPIED flags in the active tables that disagree with the refcounts (qcow2 spec: set if and only if the refcount is exactly one).</summary>
/// <param name="layout">Of the image's L2 tables.</param>
/// <param name="refcount">The refcount of a cluster; <see langword="null"/> if it cannot be known.</param>
/// <param name="findings">Gets what is wrong.</param>
/// <param name="repairs">Whether what is wrong will be repaired.</param>
internal sealed class CopiedFlagCheck(L2Layout layout, Func<long, ulong?> refcount, ImageCheckFindings findings, bool repairs)
{
    /// <summary>Looks at the flags of an L1 entry and of the table that it names.</summary>
    /// <param name="index">The entry's number.</param>
    /// <param name="l1Entry">The entry.</param>
    /// <param name="table">The table's bytes.</param>
    /// <returns>Whether some flag is wrong.</returns>
    public bool Check(int index, ulong l1Entry, ReadOnlySpan<byte> table)
    {
        long place = (long)(l1Entry & Qcow2Format.OffsetMask);
        if (place == 0)
        {
            return false;
        }

        bool wrong = Check(l1Entry, place, $"L2 cluster: l1_index={index} l1_entry");
        for (int i = 0; i < table.Length >> layout.EntryBits && !layout.HasDataFile; i++)
        {
            L2Entry entry = layout.Read(table, i);
            if (entry.Kind is L2EntryKind.Normal or L2EntryKind.ZeroAllocated)
            {
                wrong |= Check(entry.Raw, entry.HostOffset, "data cluster: l2_entry");
            }
        }

        return wrong;
    }

    private bool Check(ulong entry, long place, string what)
    {
        if (refcount(place >> layout.ClusterBits) is not { } count || (count == 1) == ((entry & Qcow2Format.Copied) != 0))
        {
            return false;
        }

        string message = $"OFLAG_COPIED {what}={entry:x} refcount={count}";
        if (repairs)
        {
            findings.AddFixed($"Repairing {message}");
        }
        else
        {
            findings.AddCorruption($"ERROR {message}");
        }

        return true;
    }
}
