using System.Numerics;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.File;

/// <summary>Keeps other processes (and other nodes of this one) from doing with a file what its users here cannot live with.</summary>
/// <remarks>
/// The idea is QEMU's, and so are the numbers, so that both programs refuse each other's images. Permission number <c>n</c> (its bit
/// in <see cref="BlockPermission"/>) has two bytes of the file: a lock on byte 100 + n says "I use it", one on byte 200 + n says "I do not
/// share it". All locks are shared ones and belong to the open file (OFD locks). Who wants to use permission n looks whether somebody
/// else holds byte 200 + n; who does not share it looks at byte 100 + n. Locks are taken before looking, so of two who come at once at least
/// one sees the other.
/// <para>Example: a guest's qcow2 disk uses consistent read, write and resize and shares consistent read and write unchanged: it holds
/// 100, 101, 103 and 201, 203. A second program that wants to write finds 201 held: <c>Failed to get "write" lock</c>.</para>
/// </remarks>
/// <param name="file">A descriptor kept for the locks alone.</param>
/// <param name="fileName">What people call the file.</param>
internal sealed class ImageLock(PosixFile file, string fileName)
{
    private const int UsedBase = 100;
    private const int UnsharedBase = 200;
    private const int PermissionCount = 4;

    private BlockPermission _used;
    private BlockPermission _unshared;

    /// <summary>Takes the locks that are missing for these permissions and looks for conflicts; keeps those not needed any more.</summary>
    /// <exception cref="QmpException">Another open file conflicts; the locks are as before.</exception>
    public void Prepare(BlockPermission used, BlockPermission unshared)
    {
        (BlockPermission usedBefore, BlockPermission unsharedBefore) = (_used, _unshared);
        try
        {
            TakeMissing(used, UsedBase, ref _used);
            TakeMissing(unshared, UnsharedBase, ref _unshared);
            Look(used & ~usedBefore, UnsharedBase, "Failed to get \"{0}\" lock");
            Look(unshared & ~unsharedBefore, UsedBase, "Failed to get shared \"{0}\" lock");
        }
        catch
        {
            Settle(usedBefore, unsharedBefore);
            throw;
        }
    }

    /// <summary>Gives back the locks that these permissions do not need.</summary>
    public void Settle(BlockPermission used, BlockPermission unshared)
    {
        GiveBack(used, UsedBase, ref _used);
        GiveBack(unshared, UnsharedBase, ref _unshared);
    }

    /// <summary>Lets go of everything.</summary>
    public void Close() => file.Close();

    private void TakeMissing(BlockPermission wanted, int start, ref BlockPermission held)
    {
        for (int bit = 0; bit < PermissionCount; bit++)
        {
            var permission = (BlockPermission)(1 << bit);
            if ((wanted & ~held & permission) == 0)
            {
                continue;
            }

            try
            {
                file.LockShared(start + bit);
            }
            catch (BlockIoException e)
            {
                throw new QmpException($"Failed to lock byte {start + bit}: {e.Message}");
            }

            held |= permission;
        }
    }

    private void Look(BlockPermission asked, int start, string refusal)
    {
        for (BlockPermission rest = asked; rest != 0; rest &= rest - 1)
        {
            int bit = BitOperations.TrailingZeroCount((int)rest);
            if (file.IsLockedByOther(start + bit))
            {
                throw new QmpException(string.Format(refusal, ((BlockPermission)(1 << bit)).Describe()))
                {
                    Hint = $"Is another process using the image [{fileName}]?",
                };
            }
        }
    }

    private void GiveBack(BlockPermission needed, int start, ref BlockPermission held)
    {
        for (BlockPermission rest = held & ~needed; rest != 0; rest &= rest - 1)
        {
            file.Unlock(start + BitOperations.TrailingZeroCount((int)rest));
        }

        held &= needed;
    }
}
