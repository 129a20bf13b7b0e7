using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Finds COPIED flags in the active tables that disagree with the refcounts (qcow2 spec: set if and only if the refcount is exactly one).</summary>
/// <param name="file">The image's file.</param>
/// <param name="layout">Of the image's L2 tables.</param>
/// <param name="refcount">The refcount of a cluster; <see langword="null"/> if it cannot be known.</param>
/// <param name="findings">Gets what is wrong.</param>
internal sealed class CopiedFlagCheck(ImageFile file, L2Layout layout, Func<long, ulong?> refcount, ImageCheckFindings findings)
{
    /// <summary>Looks at all flags.</summary>
    /// <param name="l1">The active L1 table.</param>
    /// <param name="repairs">Whether what is wrong will be repaired.</param>
    /// <returns>Whether some flag is wrong.</returns>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask<bool> RunAsync(ulong[] l1, bool repairs)
    {
        bool wrong = false;
        byte[] table = new byte[1 << layout.ClusterBits];
        for (int i = 0; i < l1.Length; i++)
        {
            long place = (long)(l1[i] & Qcow2Format.OffsetMask);
            if (place == 0)
            {
                continue;
            }

            wrong |= Check(l1[i], place, $"L2 cluster: l1_index={i} l1_entry", repairs);
            await file.ReadAsync(place, table, BlkdebugEvent.L2Load).ConfigureAwait(false);
            wrong |= CheckTable(table, repairs);
        }

        return wrong;
    }

    private bool CheckTable(ReadOnlySpan<byte> table, bool repairs)
    {
        bool wrong = false;
        for (int i = 0; i < table.Length >> layout.EntryBits && !layout.HasDataFile; i++)
        {
            L2Entry entry = layout.Read(table, i);
            if (entry.Kind is L2EntryKind.Normal or L2EntryKind.ZeroAllocated)
            {
                wrong |= Check(entry.Raw, entry.HostOffset, "data cluster: l2_entry", repairs);
            }
        }

        return wrong;
    }

    private bool Check(ulong entry, long place, string what, bool repairs)
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
