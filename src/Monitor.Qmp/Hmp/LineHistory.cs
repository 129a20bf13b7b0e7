namespace Monitor.Qmp;

/// <summary>The lines typed before, for the arrow keys; a line typed again moves to the end.</summary>
internal sealed class LineHistory
{
    private const int MaximumLines = 64;

    private readonly List<byte[]> _lines = [];

    /// <summary>The line shown; the count when none is.</summary>
    private int _position;

    /// <summary>Adds a line, unless it is empty.</summary>
    public void Add(byte[] line)
    {
        if (line.Length > 0)
        {
            int same = _lines.FindIndex(other => line.AsSpan().SequenceEqual(other));
            if (same >= 0 || _lines.Count == MaximumLines)
            {
                _lines.RemoveAt(Math.Max(same, 0));
            }

            _lines.Add(line);
        }

        _position = _lines.Count;
    }

    /// <summary>The line before the one shown; <see langword="null"/> when there is none.</summary>
    public byte[]? Previous() => _position > 0 ? _lines[--_position] : null;

    /// <summary>The line after the one shown; behind the last an empty one.</summary>
    /// <returns><see langword="null"/> when none is shown.</returns>
    public byte[]? Next()
    {
        if (_position == _lines.Count)
        {
            return null;
        }

        return ++_position < _lines.Count ? _lines[_position] : [];
    }
}
