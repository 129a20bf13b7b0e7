using System.Diagnostics.CodeAnalysis;

namespace Monitor.Qapi.Json;

/// <summary>Finds a second member of the same name in a dict while it is being read.</summary>
/// <remarks>A dict of few members is searched; from <see cref="SearchedMembers"/> on its keys go into a hash set, so a hostile dict of
/// half a million members costs linear time. The set is shared by all dicts of the value.</remarks>
internal sealed class JsonKeySet
{
    private const int SearchedMembers = 8;

    private HashSet<(JsonTape Tape, int Dict, int Key)>? _hashed;

    /// <summary>Forgets all keys; done before each value.</summary>
    public void Clear() => _hashed = null;

    /// <summary>Adds the key of the member that has just been read.</summary>
    /// <param name="tape">Where the dict is.</param>
    /// <param name="dict">The dict's token.</param>
    /// <param name="key">The key's token, the last in the dict.</param>
    /// <param name="members">How many members came before it.</param>
    /// <returns><see langword="false"/> when the dict has that key already.</returns>
    public bool Add(JsonTape tape, int dict, int key, int members)
    {
        if (members < SearchedMembers)
        {
            return !IsAmongEarlier(tape, dict, key);
        }

        _hashed ??= new HashSet<(JsonTape Tape, int Dict, int Key)>(KeyComparer.Instance);
        if (members == SearchedMembers)
        {
            for (int earlier = dict + 1; earlier < key; earlier = tape.EndOf(earlier + 1))
            {
                _hashed.Add((tape, dict, earlier));
            }
        }

        return _hashed.Add((tape, dict, key));
    }

    private static bool IsAmongEarlier(JsonTape tape, int dict, int key)
    {
        var name = tape.TextOf(key);
        for (int earlier = dict + 1; earlier < key; earlier = tape.EndOf(earlier + 1))
        {
            if (tape.TextOf(earlier).SequenceEqual(name))
            {
                return true;
            }
        }

        return false;
    }

    private sealed class KeyComparer : IEqualityComparer<(JsonTape Tape, int Dict, int Key)>
    {
        public static readonly KeyComparer Instance = new();

        public bool Equals((JsonTape Tape, int Dict, int Key) x, (JsonTape Tape, int Dict, int Key) y) =>
            x.Dict == y.Dict && x.Tape.TextOf(x.Key).SequenceEqual(y.Tape.TextOf(y.Key));

        public int GetHashCode([DisallowNull] (JsonTape Tape, int Dict, int Key) obj)
        {
            var hash = new HashCode();
            hash.Add(obj.Dict);
            hash.AddBytes(obj.Tape.TextOf(obj.Key));
            return hash.ToHashCode();
        }
    }
}
