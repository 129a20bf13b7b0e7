using Microsoft.Win32.SafeHandles;

namespace Monitor.Qapi;

/// <summary>One set of <see cref="DescriptorSets"/>, used under its lock.</summary>
/// <param name="id">Its number.</param>
internal sealed class DescriptorSet(long id)
{
    private readonly List<(SafeFileHandle Handle, string? Opaque)> _members = [];

    private readonly List<int> _duplicates = [];

    /// <summary>Its number.</summary>
    public long Id { get; } = id;

    /// <summary>Whether nothing is in it and nothing made of it is open.</summary>
    public bool IsGone => _members.Count == 0 && _duplicates.Count == 0;

    /// <summary>What <c>query-fdsets</c> shows.</summary>
    public FdsetInfo Describe() => new()
    {
        FdsetId = Id,
        Fds = [.. _members.Select(member => new FdsetFdInfo { Fd = NumberOf(member.Handle), Opaque = member.Opaque })],
    };

    /// <summary>Adds a member.</summary>
    public void Add(SafeFileHandle handle, string? opaque) => _members.Add((handle, opaque));

    /// <summary>Closes a member, or all.</summary>
    /// <param name="descriptor">Its number, or <see langword="null"/> for all.</param>
    /// <returns>Whether it was there.</returns>
    public bool Remove(long? descriptor)
    {
        bool isFound = descriptor is null;
        for (int i = _members.Count - 1; i >= 0; i--)
        {
            if (descriptor is null || NumberOf(_members[i].Handle) == descriptor)
            {
                isFound = true;
                _members[i].Handle.Dispose();
                _members.RemoveAt(i);
            }
        }

        return isFound;
    }

    /// <summary>Closes all members if nothing made of them is open.</summary>
    public void CloseUnused()
    {
        if (_duplicates.Count == 0)
        {
            Remove(null);
        }
    }

    /// <summary>Finds the newest member with an access mode.</summary>
    /// <param name="accessMode">Of the flags of open(2).</param>
    public SafeFileHandle? Find(int accessMode) =>
        _members.FindLast(member => (DescriptorCalls.GetFlags(member.Handle) & DescriptorCalls.O_ACCMODE) == accessMode).Handle;

    /// <summary>Notes that a duplicate of a member is open.</summary>
    public void AddDuplicate(int descriptor) => _duplicates.Add(descriptor);

    /// <summary>Notes that a duplicate is closed.</summary>
    /// <returns>Whether it was one.</returns>
    public bool RemoveDuplicate(int descriptor) => _duplicates.Remove(descriptor);

    private static int NumberOf(SafeFileHandle handle) => (int)handle.DangerousGetHandle();
}
