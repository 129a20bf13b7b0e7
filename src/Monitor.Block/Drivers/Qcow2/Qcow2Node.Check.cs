using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Checking and repairing the image.</summary>
public sealed partial class Qcow2Node
{
    private bool _isUnderRepair;

    /// <summary>What the last check found, and what it was to repair; <see langword="null"/> before the first.</summary>
    public (ImageCheckFix Fix, ImageCheckFindings Findings)? LastCheck { get; private set; }

    /// <summary>Whether a reopen makes the image writable for a repair only: it may be corrupt then, and its bitmaps stay as they are.</summary>
    /// <param name="value">True before the reopen, false when the image is read-only again.</param>
    public void SetUnderRepair(bool value) => _isUnderRepair = value;

    /// <summary>Checks the image; requests that need no room go on meanwhile, others wait. Runs off the loop.</summary>
    /// <param name="fix">What to repair. If anything, the doors above are closed and the image is writable.</param>
    /// <exception cref="BlockIoException">The medium failed; nothing was repaired.</exception>
    public ValueTask CheckAsync(ImageCheckFix fix) => _storedBitmaps.AloneAsync(async () =>
    {
        if (ShowsSnapshot)
        {
            throw new BlockIoException(Errno.ENOTSUP);
        }

        await EnterIdleAsync().ConfigureAwait(false);
        try
        {
            if (!IsReadOnly && !_isUnderRepair && !_image.Corruption.IsFatal)
            {
                await _image.StoreAsync().ConfigureAwait(false);
            }

            ulong[] l1 = _image.Map.CopyL1();
            var check = new Qcow2Check(_image.File, _image.Header, fix);
            foreach (ClusterRun run in _image.Retired.All)
            {
                check.Expect(run);
            }

            ulong[] table = await check.RunAsync(l1, _image.Refcounts.CopyTable(), _image.Snapshots, _image.SnapshotTableBytes).ConfigureAwait(false);
            LastCheck = (fix, check.Findings);
            if (fix != ImageCheckFix.None)
            {
                GoOnRepaired(l1, table, check.Findings);
            }
        }
        finally
        {
            _image.Lock.Release();
        }
    });

    private void GoOnRepaired(ulong[] l1, ulong[] table, ImageCheckFindings findings)
    {
        _image.Adopt(l1, table, _image.Snapshots, _image.SnapshotTableBytes);
        if (findings is { Corruptions: 0, CheckErrors: 0 })
        {
            _image.Corruption.Forget();
        }
    }
}
