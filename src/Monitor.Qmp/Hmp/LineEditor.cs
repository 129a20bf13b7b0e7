using System.Buffers;

namespace Monitor.Qmp;

/// <summary>The line that a person types into the human monitor: takes keys one byte at a time and says what the terminal is to show.</summary>
/// <remarks>
/// After each key what is shown is compared with what ought to be: where they differ the cursor goes back to the line's start, the line is
/// written anew and the rest erased; then the cursor moves to its place. So typing <c>ab</c> at the line's start prints
/// <c>a ESC[K</c> and <c>ESC[D ab ESC[K</c>. That is what QEMU's monitor sends, byte for byte; it costs the square of the line's length.
/// Keys are those of emacs and of a VT100: arrows, home, end, delete, backspace, ^A ^E ^D ^W ^L.
/// </remarks>
internal sealed class LineEditor
{
    /// <summary>Bytes of a line; further ones are not taken.</summary>
    public const int MaximumBytes = 4095;

    private const byte Escape = 0x1b;

    private readonly LineHistory _history = new();

    private readonly byte[] _line = new byte[MaximumBytes];

    private readonly byte[] _shown = new byte[MaximumBytes];

    private int _length;

    private int _cursor;

    private int _shownLength;

    private int _shownCursor;

    private KeyState _state;

    private int _parameter;

    private bool _isCleared;

    /// <summary>Where in a sequence of bytes that stands for one key.</summary>
    private enum KeyState
    {
        None,
        Escape,
        Control,
        Function,
    }

    /// <summary>What stands before the line.</summary>
    public static ReadOnlySpan<byte> Prompt => "(qemu) "u8;

    private ReadOnlySpan<byte> Line => _line.AsSpan(0, _length);

    /// <summary>Takes a byte.</summary>
    /// <param name="key">What the terminal sent.</param>
    /// <param name="screen">Gets what it is to show.</param>
    /// <returns>The line when it is complete; the editor is empty then.</returns>
    public byte[]? Take(byte key, IBufferWriter<byte> screen)
    {
        if (_state == KeyState.None && key is (byte)'\n' or (byte)'\r')
        {
            return Complete(screen);
        }

        switch (_state)
        {
            case KeyState.None:
                TakePlain(key);
                break;
            case KeyState.Escape:
                _state = key switch { (byte)'[' => KeyState.Control, (byte)'O' => KeyState.Function, _ => KeyState.None };
                _parameter = 0;
                break;
            case KeyState.Control:
                TakeControl(key);
                break;
            case KeyState.Function:
                _state = KeyState.None;
                MoveToEnd(key);
                break;
        }

        Show(screen);
        return null;
    }

    private byte[] Complete(IBufferWriter<byte> screen)
    {
        byte[] line = Line.ToArray();
        _history.Add(line);
        _length = 0;
        _cursor = 0;
        _shownLength = 0;
        _shownCursor = 0;
        screen.Write("\r\n"u8);
        return line;
    }

    private void TakePlain(byte key)
    {
        switch (key)
        {
            case 0x01:
                _cursor = 0;
                break;
            case 0x04:
                Delete();
                break;
            case 0x05:
                _cursor = _length;
                break;
            case 0x08 or 0x7f:
                Backspace();
                break;
            case 0x0c:
                _isCleared = true;
                break;
            case 0x17:
                DeleteWord();
                break;
            case Escape:
                _state = KeyState.Escape;
                break;
            case 0x9b:
                _state = KeyState.Control;
                _parameter = 0;
                break;
            case >= 0x20:
                Insert(key);
                break;
        }
    }

    private void TakeControl(byte key)
    {
        if (key is >= (byte)'0' and <= (byte)'9')
        {
            _parameter = (_parameter * 10) + key - '0';
            return;
        }

        _state = KeyState.None;
        switch (key)
        {
            case (byte)'A' or (byte)'F':
                Replace(_history.Previous());
                break;
            case (byte)'B' or (byte)'E':
                Replace(_history.Next());
                break;
            case (byte)'C':
                _cursor = Math.Min(_cursor + 1, _length);
                break;
            case (byte)'D':
                _cursor = Math.Max(_cursor - 1, 0);
                break;
            case (byte)'~':
                TakeNumbered(_parameter);
                break;
        }
    }

    private void TakeNumbered(int parameter)
    {
        switch (parameter)
        {
            case 1:
                _cursor = 0;
                break;
            case 3:
                Delete();
                break;
            case 4:
                _cursor = _length;
                break;
        }
    }

    private void MoveToEnd(byte key) => _cursor = key switch
    {
        (byte)'F' => _length,
        (byte)'H' => 0,
        _ => _cursor,
    };

    private void Insert(byte key)
    {
        if (_length < MaximumBytes)
        {
            _line.AsSpan(_cursor, _length - _cursor).CopyTo(_line.AsSpan(_cursor + 1));
            _line[_cursor++] = key;
            _length++;
        }
    }

    private void Backspace()
    {
        if (_cursor > 0)
        {
            _cursor--;
            Delete();
        }
    }

    private void Delete()
    {
        if (_cursor < _length)
        {
            Line[(_cursor + 1)..].CopyTo(_line.AsSpan(_cursor));
            _length--;
        }
    }

    /// <summary>Back over blanks, then over the word before them.</summary>
    private void DeleteWord()
    {
        int start = _cursor;
        while (start > 0 && _line[start - 1] == ' ')
        {
            start--;
        }

        while (start > 0 && _line[start - 1] != ' ')
        {
            start--;
        }

        Line[_cursor..].CopyTo(_line.AsSpan(start));
        _length -= _cursor - start;
        _cursor = start;
    }

    private void Replace(byte[]? line)
    {
        if (line is not null)
        {
            line.CopyTo(_line, 0);
            _length = line.Length;
            _cursor = _length;
        }
    }

    private void Show(IBufferWriter<byte> screen)
    {
        if (_isCleared)
        {
            _isCleared = false;
            screen.Write("\e[2J\e[1;1H"u8);
            screen.Write(Prompt);
            _shownLength = 0;
            _shownCursor = 0;
        }

        if (!Line.SequenceEqual(_shown.AsSpan(0, _shownLength)))
        {
            Repeat("\e[D"u8, _shownCursor, screen);
            screen.Write(Line);
            screen.Write("\e[K"u8);
            Line.CopyTo(_shown);
            _shownLength = _length;
            _shownCursor = _length;
        }

        Repeat("\e[C"u8, _cursor - _shownCursor, screen);
        Repeat("\e[D"u8, _shownCursor - _cursor, screen);
        _shownCursor = _cursor;
    }

    private static void Repeat(ReadOnlySpan<byte> sequence, int count, IBufferWriter<byte> screen)
    {
        for (int i = 0; i < count; i++)
        {
            screen.Write(sequence);
        }
    }
}
