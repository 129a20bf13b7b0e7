using System.Buffers;

namespace Monitor.Qmp;

/// <summary>Spreads a message over indented lines, laid out as QEMU does: <c>pretty=on</c>.</summary>
/// <remarks>Works on the finished bytes, valid JSON and a line end, in one pass. Example: <c>{"a": [], "b": 1}</c> becomes
/// <c>{ "a": [ ], "b": 1 }</c> with a new line at each space but those after colons.</remarks>
internal sealed class QmpPrettyPrinter
{
    private const int IndentBytes = 4;

    private readonly ArrayBufferWriter<byte> _bytes = new();

    private int _depth;

    private bool _isAtLineStart;

    /// <summary>Formats a message.</summary>
    /// <returns>Valid until the next call.</returns>
    public ReadOnlySpan<byte> Format(ReadOnlySpan<byte> message)
    {
        _bytes.ResetWrittenCount();
        for (int i = 0; i < message.Length; i++)
        {
            switch (message[i])
            {
                case (byte)'"':
                    int end = i + StringLength(message[i..]);
                    WriteToken(message[i..end]);
                    i = end - 1;
                    break;
                case (byte)'{' or (byte)'[':
                    WriteToken(message.Slice(i, 1));
                    _depth++;
                    EndLine();
                    break;
                case (byte)'}' or (byte)']':
                    _depth--;
                    EndLine();
                    WriteToken(message.Slice(i, 1));
                    break;
                case (byte)',':
                    _bytes.Write(","u8);
                    EndLine();
                    break;
                case (byte)':':
                    _bytes.Write(": "u8);
                    break;
                case > (byte)' ':
                    WriteToken(message.Slice(i, 1));
                    break;
            }
        }

        EndLine();
        _isAtLineStart = false;
        return _bytes.WrittenSpan;
    }

    private static int StringLength(ReadOnlySpan<byte> text)
    {
        int i = 1;
        while (text[i] != '"')
        {
            i += text[i] == '\\' ? 2 : 1;
        }

        return i + 1;
    }

    private void WriteToken(ReadOnlySpan<byte> token)
    {
        if (_isAtLineStart)
        {
            int indent = _depth * IndentBytes;
            _bytes.GetSpan(indent)[..indent].Fill((byte)' ');
            _bytes.Advance(indent);
            _isAtLineStart = false;
        }

        _bytes.Write(token);
    }

    private void EndLine()
    {
        if (!_isAtLineStart)
        {
            _bytes.Write("\r\n"u8);
            _isAtLineStart = true;
        }
    }
}
