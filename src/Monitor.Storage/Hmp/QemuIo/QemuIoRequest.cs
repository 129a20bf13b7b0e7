using System.Text;
using Monitor.Block;
using Monitor.Storage.Drives;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary>One command being carried out: the node, the words by kind, what it prints.</summary>
internal sealed class QemuIoRequest
{
    private readonly Dictionary<char, string> _options = [];
    private readonly List<string> _words = [];

    /// <summary>Splits the words after the name into options and the rest, in any order, as getopt(3) does.</summary>
    /// <exception cref="QemuIoException">There is an option that the command does not know, or one lacks its value.</exception>
    public QemuIoRequest(QemuIoCommand command, BlockBackend backend, ReadOnlySpan<string> words, StringBuilder output)
    {
        (Command, Backend, Output) = (command, backend, output);
        bool onlyWords = false;
        for (int i = 0; i < words.Length; i++)
        {
            string word = words[i];
            if (onlyWords || word.Length < 2 || word[0] != '-')
            {
                _words.Add(word);
            }
            else if (word == "--")
            {
                onlyWords = true;
            }
            else if (ReadOptions(word) is { } letter)
            {
                _options[letter] = ++i < words.Length ? words[i] : throw Refused($"option requires an argument -- '{letter}'");
            }
        }
    }

    /// <summary>What is carried out.</summary>
    public QemuIoCommand Command { get; }

    /// <summary>The node.</summary>
    public BlockBackend Backend { get; }

    /// <summary>The drive that named the node, if one did.</summary>
    public Drive? Drive { get; init; }

    /// <summary>What is printed, lines ended by LF.</summary>
    public StringBuilder Output { get; }

    /// <summary>The words that are no options.</summary>
    public IReadOnlyList<string> Words => _words;

    /// <summary>Whether an option was given.</summary>
    public bool Has(char option) => _options.ContainsKey(option);

    /// <summary>The value of an option; <see langword="null"/> when it was not given.</summary>
    public string? Find(char option) => _options.GetValueOrDefault(option);

    /// <summary>Refuses another number of words.</summary>
    /// <param name="minimum">At least.</param>
    /// <param name="maximum">At most.</param>
    public void CheckWords(int minimum, int maximum = int.MaxValue)
    {
        if (_words.Count < minimum || _words.Count > maximum)
        {
            throw new QemuIoException(Command.Usage);
        }
    }

    /// <summary>The letter of the last option in a word when its value is the next word.</summary>
    private char? ReadOptions(string word)
    {
        for (int i = 1; i < word.Length; i++)
        {
            int known = word[i] == ':' ? -1 : Command.Options.IndexOf(word[i], StringComparison.Ordinal);
            if (known < 0)
            {
                throw Refused($"invalid option -- '{word[i]}'");
            }

            bool takesValue = known + 1 < Command.Options.Length && Command.Options[known + 1] == ':';
            if (takesValue && i + 1 == word.Length)
            {
                return word[i];
            }

            _options[word[i]] = takesValue ? word[(i + 1)..] : "";
            if (takesValue)
            {
                break;
            }
        }

        return null;
    }

    private QemuIoException Refused(string reason) => new($"{Command.Name}: {reason}\n{Command.Usage}");
}
