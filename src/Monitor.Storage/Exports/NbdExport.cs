using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Nbd;
using Monitor.Qapi;
using Monitor.Storage.Drives;

namespace Monitor.Storage.Exports;

/// <summary>A node offered under a name: what its clients see, and who they are.</summary>
/// <remarks>Its bitmaps are busy from creation to the end of <see cref="RemoveAsync"/>. The backend stays its owner's.</remarks>
public sealed class NbdExport
{
    private readonly Lock _lock = new();
    private readonly HashSet<NbdServerConnection> _clients = [];
    private readonly List<DirtyBitmap> _bitmaps = [];
    private readonly NbdTransmissionFlags _flags;
    private TaskCompletionSource? _empty;
    private Task? _removal;

    /// <summary>Makes an export; <see cref="NbdServer.Add"/> offers it.</summary>
    /// <param name="backend">The door to the node; its size now is the export's for good.</param>
    /// <param name="options">How it presents itself.</param>
    /// <exception cref="QmpException">A bitmap is busy or inconsistent.</exception>
    public NbdExport(BlockBackend backend, NbdExportOptions options)
    {
        Backend = backend;
        Options = options;
        SizeBytes = backend.SizeBytes;
        _flags = FlagsOf(options);
        var contexts = new List<NbdContext> { new NbdAllocationContext(0, NbdMetaContextName.BaseAllocation, backend) };
        if (options.AllocationDepth)
        {
            contexts.Add(new NbdAllocationContext(1, NbdMetaContextName.QemuAllocationDepth, backend));
        }

        try
        {
            foreach (DirtyBitmap bitmap in options.Bitmaps.Distinct())
            {
                bitmap.Owner.SetBusy(bitmap);
                _bitmaps.Add(bitmap);
            }
        }
        catch
        {
            ReleaseBitmaps();
            throw;
        }

        for (int i = 0; i < options.Bitmaps.Count; i++)
        {
            contexts.Add(new NbdBitmapContext((uint)(i + 2), options.Bitmaps[i]));
        }

        Contexts = contexts;
    }

    /// <summary>How it presents itself.</summary>
    public NbdExportOptions Options { get; }

    /// <summary>The name clients ask for.</summary>
    public string Name => Options.Name;

    /// <summary>A text for people, if any.</summary>
    public string? Description => Options.Description;

    /// <summary>The door to the node.</summary>
    public BlockBackend Backend { get; }

    /// <summary>The length in bytes that clients are told.</summary>
    public long SizeBytes { get; }

    /// <summary>Whether clients may write.</summary>
    public bool IsWritable => Options.Writable;

    /// <summary>Whether its removal has begun.</summary>
    public bool IsShuttingDown
    {
        get
        {
            lock (_lock)
            {
                return _empty is not null;
            }
        }
    }

    /// <summary>Clients connected now.</summary>
    public int ConnectionCount
    {
        get
        {
            lock (_lock)
            {
                return _clients.Count;
            }
        }
    }

    /// <summary>The drive whose door it is; <see langword="null"/> when the export has a door of its own.</summary>
    public Drive? Drive { get; init; }

    /// <summary>Called once when the export is gone, as the last step of <see cref="RemoveAsync"/>.</summary>
    public Action<NbdExport>? Removed { get; set; }

    internal NbdServer? Server { get; set; }

    internal bool IsWritethrough => Options.Writethrough;

    internal IReadOnlyList<NbdContext> Contexts { get; }

    /// <summary>Takes the export off the server: no new client finds it, the present ones are dropped, their requests finish. A turn.</summary>
    /// <param name="mode">Safe refuses while there are clients; who has closed its connection is none.</param>
    /// <returns>Completes when no client is left, the bitmaps are free and <see cref="Removed"/> was called.</returns>
    /// <exception cref="QmpException">It has clients and the mode is safe; thrown before anything is changed.</exception>
    public Task RemoveAsync(BlockExportRemoveMode mode)
    {
        if (_removal is not null)
        {
            return _removal;
        }

        NbdServerConnection[] clients;
        lock (_lock)
        {
            if (mode == BlockExportRemoveMode.Safe && _clients.Any(client => !client.HasHungUp))
            {
                throw new QmpException($"export '{Options.Id}' still in use");
            }

            _empty = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            clients = [.. _clients];
            if (clients.Length == 0)
            {
                _empty.SetResult();
            }
        }

        Server?.Withdraw(this);
        foreach (NbdServerConnection client in clients)
        {
            client.Drop();
        }

        return _removal = FinishRemovalAsync(_empty.Task);
    }

    /// <summary>Counts a connection among the clients.</summary>
    /// <returns>False when the export is going away.</returns>
    internal bool TryAttach(NbdServerConnection connection)
    {
        lock (_lock)
        {
            if (_empty is not null)
            {
                return false;
            }

            connection.Joined(this);
            return _clients.Add(connection);
        }
    }

    /// <summary>Takes a connection off the clients; nothing of it is in flight.</summary>
    internal void Detach(NbdServerConnection connection)
    {
        lock (_lock)
        {
            if (_clients.Remove(connection) && _clients.Count == 0)
            {
                _empty?.SetResult();
            }
        }
    }

    /// <summary>Size and flags as a client is told them.</summary>
    internal NbdExportInfo InfoFor(bool structuredReplies) => new(
        (ulong)SizeBytes, _flags | (structuredReplies ? NbdTransmissionFlags.SendDontFragment : NbdTransmissionFlags.None));

    /// <summary>The block sizes; a client that did not ask for them may use any.</summary>
    internal NbdBlockSizes BlockSizesFor(bool obeys)
    {
        uint minimum = obeys && Backend.HasMedium ? (uint)Backend.Node.RequestAlignment : 1;
        return new NbdBlockSizes(minimum, Math.Max(4096, minimum), NbdProtocol.MaxPayloadBytes);
    }

    private static NbdTransmissionFlags FlagsOf(NbdExportOptions options)
    {
        NbdTransmissionFlags flags = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush
            | NbdTransmissionFlags.SendFua | NbdTransmissionFlags.SendCache;
        flags |= options.MultiConnection ? NbdTransmissionFlags.CanMultiConn : NbdTransmissionFlags.None;
        return flags | (options.Writable
            ? NbdTransmissionFlags.SendTrim | NbdTransmissionFlags.SendWriteZeroes | NbdTransmissionFlags.SendFastZero
            : NbdTransmissionFlags.ReadOnly);
    }

    private async Task FinishRemovalAsync(Task empty)
    {
        await empty;
        ReleaseBitmaps();
        DaemonLog.Info("Nbd", $"export '{Name}' removed");
        Removed?.Invoke(this);
    }

    private void ReleaseBitmaps()
    {
        foreach (DirtyBitmap bitmap in _bitmaps)
        {
            bitmap.Owner.ClearBusy(bitmap);
        }

        _bitmaps.Clear();
    }
}
