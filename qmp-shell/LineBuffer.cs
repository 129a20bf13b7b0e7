namespace QmpShell;

/// <summary>The line being edited: its text, the cursor, and the lines before it.</summary>
internal sealed class LineBuffer
{
    private const int MaximumHistory = 1000;

    private readonly List<string> _history = [];

    private int _historyIndex;

    private string _unfinished = "";

    /// <summary>The text.</summary>
    public string Text { get; private set; } = "";

    /// <summary>Where the next character goes, 0 to the text's length.</summary>
    public int Cursor { get; private set; }

    /// <summary>The text up to the cursor.</summary>
    public string BeforeCursor => Text[..Cursor];

    /// <summary>Ends the line and begins an empty one.</summary>
    /// <returns>The line.</returns>
    public string Accept()
    {
        string line = Text;
        bool isNew = line.Trim().Length > 0 && (_history.Count == 0 || _history[^1] != line);
        if (isNew)
        {
            _history.Add(line);
            _history.RemoveRange(0, Math.Max(_history.Count - MaximumHistory, 0));
        }

        _historyIndex = _history.Count;
        Replace("");
        return line;
    }

    /// <summary>Replaces the whole text, cursor at its end.</summary>
    public void Replace(string text)
    {
        Text = text;
        Cursor = text.Length;
    }

    /// <summary>Puts text at the cursor.</summary>
    public void Insert(string text)
    {
        Text = Text.Insert(Cursor, text);
        Cursor += text.Length;
    }

    /// <summary>Applies an editing key.</summary>
    /// <param name="key">The key.</param>
    /// <returns>Whether it is one.</returns>
    public bool Apply(ConsoleKeyInfo key)
    {
        bool isControl = key.Modifiers.HasFlag(ConsoleModifiers.Control);
        switch (key.Key)
        {
            case ConsoleKey.LeftArrow:
                Cursor = Math.Max(Cursor - 1, 0);
                return true;
            case ConsoleKey.RightArrow:
                Cursor = Math.Min(Cursor + 1, Text.Length);
                return true;
            case ConsoleKey.Home:
            case ConsoleKey.A when isControl:
                Cursor = 0;
                return true;
            case ConsoleKey.End:
            case ConsoleKey.E when isControl:
                Cursor = Text.Length;
                return true;
            case ConsoleKey.Backspace:
                Remove(Cursor - 1, 1);
                return true;
            case ConsoleKey.Delete:
                Remove(Cursor, 1);
                return true;
            case ConsoleKey.K when isControl:
                Remove(Cursor, Text.Length - Cursor);
                return true;
            case ConsoleKey.U when isControl:
                Remove(0, Cursor);
                return true;
            case ConsoleKey.UpArrow:
                Recall(_historyIndex - 1);
                return true;
            case ConsoleKey.DownArrow:
                Recall(_historyIndex + 1);
                return true;
            default:
                return InsertCharacter(key.KeyChar);
        }
    }

    private bool InsertCharacter(char character)
    {
        if (char.IsControl(character))
        {
            return false;
        }

        Insert(character.ToString());
        return true;
    }

    private void Remove(int start, int count)
    {
        if (start >= 0 && start + count <= Text.Length)
        {
            Text = Text.Remove(start, count);
            Cursor = start;
        }
    }

    private void Recall(int index)
    {
        if (index < 0 || index > _history.Count)
        {
            return;
        }

        _unfinished = _historyIndex == _history.Count ? Text : _unfinished;
        _historyIndex = index;
        Replace(index == _history.Count ? _unfinished : _history[index]);
    }
}
