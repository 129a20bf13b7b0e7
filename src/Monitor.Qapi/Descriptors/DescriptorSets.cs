using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Monitor.Qapi;

/// <summary>The process's sets of open descriptors (<c>add-fd</c>): opening the file name <c>/dev/fdset/N</c> duplicates one of set N.</summary>
/// <remarks>
/// So a client that may open a file lends it to a daemon that may not: it adds the file once open for reading only and once for both, and
/// names the set wherever a file name is asked for. The member whose access mode fits is taken, the newest first. As in QEMU 7.2 a
/// member is closed when it is removed, or when the last client leaves while nothing opened from its set is open; what was opened stays
/// open. A set is gone with its last member and the last file opened from it.
/// </remarks>
public static class DescriptorSets
{
    private const string Prefix = "/dev/fdset/";

    private static readonly Lock s_lock = new();

    private static readonly List<DescriptorSet> s_byNumber = [];

    private static readonly List<int> s_inherited = [];

    private static int s_clients;

    /// <summary>Whether a file name stands for a set.</summary>
    public static bool IsName(string path) => path.StartsWith(Prefix, StringComparison.Ordinal);

    /// <summary>Adds a descriptor to a set, which is made if there is none.</summary>
    /// <param name="handle">Owned from now on; closed if it is refused.</param>
    /// <param name="id">The set's number, or <see langword="null"/> for the lowest that is free.</param>
    /// <param name="opaque">The client's note.</param>
    /// <exception cref="QmpException">The number is negative.</exception>
    public static AddfdInfo Add(SafeFileHandle handle, long? id, string? opaque)
    {
        if (id < 0)
        {
            handle.Dispose();
            throw new QmpException("Parameter 'fdset-id' expects a non-negative value");
        }

        lock (s_lock)
        {
            DescriptorSet set = Get(id ?? LowestFree());
            set.Add(handle, opaque);
            return new AddfdInfo { FdsetId = set.Id, Fd = (int)handle.DangerousGetHandle() };
        }
    }

    /// <summary>Adds a descriptor that the process was started with.</summary>
    /// <param name="descriptor">Its number; closed by <see cref="CloseInherited"/>.</param>
    /// <param name="id">The set's number.</param>
    /// <param name="opaque">The note beside it.</param>
    /// <exception cref="QmpException">It is none.</exception>
    public static void AddInherited(int descriptor, long id, string? opaque)
    {
        if (descriptor <= 2)
        {
            throw new QmpException("fd cannot be a standard I/O stream");
        }

        if (!DescriptorCalls.IsInherited(descriptor))
        {
            throw new QmpException("fd is not valid or already in use");
        }

        if (id < 0)
        {
            throw new QmpException("set option is required and must be non-negative");
        }

        int duplicate = DescriptorCalls.Duplicate(descriptor);
        if (duplicate < 0)
        {
            throw new QmpException($"error duplicating fd: {Marshal.GetLastPInvokeErrorMessage()}");
        }

        if (!s_inherited.Contains(descriptor))
        {
            s_inherited.Add(descriptor);
        }

        Add(new SafeFileHandle(duplicate, ownsHandle: true), id, opaque);
    }

    /// <summary>Closes the originals of what <see cref="AddInherited"/> has added.</summary>
    public static void CloseInherited()
    {
        foreach (int descriptor in s_inherited)
        {
            _ = DescriptorCalls.Close(descriptor);
        }

        s_inherited.Clear();
    }

    /// <summary>Closes a member of a set, or all.</summary>
    /// <param name="id">The set's number.</param>
    /// <param name="descriptor">The member's number, or <see langword="null"/> for all.</param>
    /// <exception cref="QmpException">There is no such set or member.</exception>
    public static void Remove(long id, long? descriptor)
    {
        lock (s_lock)
        {
            DescriptorSet? set = s_byNumber.Find(candidate => candidate.Id == id);
            if (set?.Remove(descriptor) != true)
            {
                string member = descriptor is { } number ? $", fd:{number}" : "";
                throw new QmpException($"File descriptor named 'fdset-id:{id}{member}' not found");
            }

            DropGone();
        }
    }

    /// <summary>All sets, the highest number first, as QEMU lists them.</summary>
    public static IReadOnlyList<FdsetInfo> Query()
    {
        lock (s_lock)
        {
            return [.. Enumerable.Reverse(s_byNumber).Select(set => set.Describe())];
        }
    }

    /// <summary>Opens a file name that stands for a set.</summary>
    /// <param name="path">See <see cref="IsName"/>.</param>
    /// <param name="flags">Of open(2); O_CLOEXEC is implied.</param>
    /// <returns>A descriptor; the set stays until its owner, about to close it, calls <see cref="Release(int)"/>.</returns>
    /// <exception cref="QmpException">The set has no descriptor of that access mode.</exception>
    public static int Open(string path, int flags)
    {
        int duplicate = TryOpen(path, flags);
        if (duplicate >= 0)
        {
            return duplicate;
        }

        int error = Marshal.GetLastPInvokeError();
        throw new QmpException(TryParse(path, out _)
            ? $"Could not dup FD for {path} flags {flags:x}: {Marshal.GetPInvokeErrorMessage(error)}"
            : $"Could not parse fdset {path}");
    }

    /// <summary>As <see cref="Open"/>, for who words the error himself.</summary>
    /// <returns>As open(2): -1 with the reason in <see cref="Marshal.GetLastPInvokeError"/>.</returns>
    public static int TryOpen(string path, int flags)
    {
        lock (s_lock)
        {
            int error = DescriptorCalls.EINVAL;
            if (TryParse(path, out long id))
            {
                DescriptorSet? set = s_byNumber.Find(candidate => candidate.Id == id);
                if (set?.Find(flags & DescriptorCalls.O_ACCMODE) is { } handle)
                {
                    return Duplicate(set, handle, flags);
                }

                error = set is null ? DescriptorCalls.ENOENT : DescriptorCalls.EACCES;
            }

            Marshal.SetLastPInvokeError(error);
            return -1;
        }
    }

    /// <summary>Notes that a descriptor is about to be closed, whether <see cref="Open"/> gave it or not.</summary>
    public static void Release(SafeFileHandle handle) => Release((int)handle.DangerousGetHandle());

    /// <summary>Notes that a descriptor which <see cref="Open"/> gave is about to be closed.</summary>
    public static void Release(int descriptor)
    {
        lock (s_lock)
        {
            DescriptorSet? set = s_byNumber.Find(candidate => candidate.RemoveDuplicate(descriptor));
            if (s_clients == 0)
            {
                set?.CloseUnused();
            }

            DropGone();
        }
    }

    /// <summary>Notes that a monitor has one client more.</summary>
    public static void ClientCame() => Interlocked.Increment(ref s_clients);

    /// <summary>Notes that a client left; with the last one goes what nothing was opened from.</summary>
    public static void ClientLeft()
    {
        lock (s_lock)
        {
            if (Interlocked.Decrement(ref s_clients) == 0)
            {
                s_byNumber.ForEach(set => set.CloseUnused());
                DropGone();
            }
        }
    }

    private static int Duplicate(DescriptorSet set, SafeFileHandle handle, int flags)
    {
        int duplicate = DescriptorCalls.Duplicate(handle, flags);
        if (duplicate >= 0)
        {
            set.AddDuplicate(duplicate);
        }

        return duplicate;
    }

    private static bool TryParse(string path, out long id) =>
        long.TryParse(path.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out id);

    private static long LowestFree()
    {
        long id = 0;
        foreach (DescriptorSet set in s_byNumber)
        {
            if (set.Id != id)
            {
                break;
            }

            id++;
        }

        return id;
    }

    private static DescriptorSet Get(long id)
    {
        int index = s_byNumber.FindIndex(candidate => candidate.Id >= id);
        if (index >= 0 && s_byNumber[index].Id == id)
        {
            return s_byNumber[index];
        }

        var set = new DescriptorSet(id);
        s_byNumber.Insert(index < 0 ? s_byNumber.Count : index, set);
        return set;
    }

    private static void DropGone() => s_byNumber.RemoveAll(set => set.IsGone);
}
