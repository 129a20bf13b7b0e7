using System.Text;
using Monitor.Qapi.Json;

namespace Monitor.Qapi.Keyval;

/// <summary>A value of a keyval text while it is being read: a scalar, or children by key fragment.</summary>
internal sealed class KeyvalNode
{
    private readonly List<KeyValuePair<string, KeyvalNode>> _children = [];

    private string? _scalar;

    /// <summary>The child for the next fragment of a key, made at its first use.</summary>
    /// <param name="fragment">A name or an index.</param>
    /// <param name="path">The key up to this node, for the error.</param>
    /// <exception cref="QmpException">This node has a scalar already.</exception>
    public KeyvalNode Child(string fragment, string path)
    {
        if (_scalar is not null)
        {
            throw Inconsistent(path);
        }

        foreach (var (key, node) in _children)
        {
            if (key == fragment)
            {
                return node;
            }
        }

        var child = new KeyvalNode();
        _children.Add(KeyValuePair.Create(fragment, child));
        return child;
    }

    /// <summary>Gives this node a scalar; a second one replaces the first.</summary>
    /// <param name="value">The text after the equals sign.</param>
    /// <param name="path">The whole key, for the error.</param>
    /// <exception cref="QmpException">This node has children already.</exception>
    public void SetScalar(string value, string path) => _scalar = _children.Count == 0 ? value : throw Inconsistent(path);

    /// <summary>Writes this node: children whose keys are all indices are a list.</summary>
    /// <param name="tape">Where to append.</param>
    /// <param name="path">The key of this node, for the errors; empty at the root.</param>
    /// <exception cref="QmpException">Names and indices are mixed, or an index is missing.</exception>
    public void WriteTo(JsonTape tape, string path)
    {
        if (_scalar is not null)
        {
            AddText(tape, JsonTokenKind.String, _scalar);
        }
        else if (_children.Exists(child => char.IsAsciiDigit(child.Key[0])))
        {
            WriteList(tape, path);
        }
        else
        {
            int dict = tape.AddToken(JsonTokenKind.Dict, 0, 0);
            foreach (var (key, node) in _children)
            {
                AddText(tape, JsonTokenKind.Key, key);
                node.WriteTo(tape, path.Length == 0 ? key : $"{path}.{key}");
            }

            tape.CloseContainer(dict);
        }
    }

    private static QmpException Inconsistent(string path) => new($"Parameters '{path}.*' used inconsistently");

    private static void AddText(JsonTape tape, JsonTokenKind kind, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        tape.AddToken(kind, tape.AppendText(bytes), bytes.Length);
    }

    private void WriteList(JsonTape tape, string path)
    {
        if (_children.Exists(child => !char.IsAsciiDigit(child.Key[0])))
        {
            throw Inconsistent(path);
        }

        var items = new KeyvalNode?[_children.Count];
        foreach (var (key, node) in _children)
        {
            if (int.TryParse(key, out int index) && index < items.Length)
            {
                items[index] = node;
            }
        }

        int list = tape.AddToken(JsonTokenKind.List, 0, 0);
        for (int i = 0; i < items.Length; i++)
        {
            string itemPath = $"{path}.{i}";
            var item = items[i] ?? throw new QmpException($"Parameter '{itemPath}' missing");
            item.WriteTo(tape, itemPath);
        }

        tape.CloseContainer(list);
    }
}
