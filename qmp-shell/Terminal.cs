using Spectre.Console;

namespace QmpShell;

/// <summary>Reads lines from a terminal with editing, history and completion, while other text appears above the line.</summary>
/// <param name="complete">What the last word of a line up to the cursor may become.</param>
internal sealed class Terminal(Func<string, IReadOnlyList<string>> complete)
{
    /// <summary>Long replies are left to the terminal to break, so that they can be copied.</summary>
    private const int UnwrappedWidth = 1 << 20;

    private const string ClearLine = "\r\u001b[K";

    private readonly Lock _lock = new();

    private readonly LineBuffer _line = new();

    private readonly IAnsiConsole _console = CreateConsole();

    private string? _prompt;

    /// <summary>Reads a line.</summary>
    /// <param name="prompt">Shown before it.</param>
    /// <returns>The line, or <see langword="null"/> after Ctrl-D on an empty one.</returns>
    public string? ReadLine(string prompt)
    {
        lock (_lock)
        {
            _prompt = prompt;
            Draw();
        }

        for (; ; )
        {
            var key = Console.ReadKey(intercept: true);
            lock (_lock)
            {
                bool isEnd = key.Key == ConsoleKey.D && key.Modifiers.HasFlag(ConsoleModifiers.Control) && _line.Text.Length == 0;
                if (key.Key == ConsoleKey.Enter || isEnd)
                {
                    _prompt = null;
                    Console.WriteLine();
                    return isEnd ? null : _line.Accept();
                }

                if (key.Key == ConsoleKey.Tab)
                {
                    Complete();
                }
                else
                {
                    _line.Apply(key);
                }

                Draw();
            }
        }
    }

    /// <summary>Prints text on lines of its own, above the line being edited.</summary>
    /// <param name="text">One or more lines.</param>
    /// <param name="color">Its colour.</param>
    public void Print(string text, Color color)
    {
        lock (_lock)
        {
            Console.Write(_prompt is null ? "" : ClearLine);
            _console.Write(new Text(text + "\n", new Style(color)));
            if (_prompt is not null)
            {
                Draw();
            }
        }
    }

    private static IAnsiConsole CreateConsole()
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings());
        console.Profile.Width = UnwrappedWidth;
        return console;
    }

    private void Complete()
    {
        var candidates = complete(_line.BeforeCursor);
        int wordLength = _line.Cursor - (_line.BeforeCursor.LastIndexOf(' ') + 1);
        if (candidates.Count == 0)
        {
            return;
        }

        string common = candidates.Aggregate(CommonPrefix);
        bool isWhole = candidates.Count == 1 && !common.EndsWith('=');
        string rest = common[wordLength..] + (isWhole ? " " : "");
        if (rest.Length > 0)
        {
            _line.Insert(rest);
        }
        else
        {
            Console.Write("\n" + string.Join("  ", candidates) + "\n");
        }
    }

    private void Draw()
    {
        Console.Write($"{ClearLine}{_prompt}{_line.Text}");
        int behind = _line.Text.Length - _line.Cursor;
        Console.Write(behind > 0 ? $"\u001b[{behind}D" : "");
    }

    private static string CommonPrefix(string a, string b) => a[..a.AsSpan().CommonPrefixLength(b)];
}
