using System.Text;
using System.Text.Encodings.Web;

namespace Monitor.Qmp;

/// <summary>Escapes strings in replies as QEMU does: output is ASCII, and only what JSON demands or what is not printable is escaped.</summary>
internal sealed class QmpJsonEncoder : JavaScriptEncoder
{
    /// <summary>The only instance needed.</summary>
    public static readonly QmpJsonEncoder Instance = new();

    private const string ShortEscapes = "\"\"\\\\\bb\ff\nn\rr\tt";

    /// <inheritdoc/>
    public override int MaxOutputCharactersPerInputCharacter => 12;

    /// <inheritdoc/>
    public override unsafe int FindFirstCharacterToEncode(char* text, int textLength)
    {
        var span = new ReadOnlySpan<char>(text, textLength);
        int unprintable = span.IndexOfAnyExceptInRange(' ', '~');
        int special = (unprintable < 0 ? span : span[..unprintable]).IndexOfAny('"', '\\');
        return special >= 0 ? special : unprintable;
    }

    /// <inheritdoc/>
    public override int FindFirstCharacterToEncodeUtf8(ReadOnlySpan<byte> utf8Text)
    {
        int unprintable = utf8Text.IndexOfAnyExceptInRange((byte)' ', (byte)'~');
        int special = (unprintable < 0 ? utf8Text : utf8Text[..unprintable]).IndexOfAny((byte)'"', (byte)'\\');
        return special >= 0 ? special : unprintable;
    }

    /// <inheritdoc/>
    public override bool WillEncode(int unicodeScalar) => unicodeScalar is < ' ' or > '~' or '"' or '\\';

    /// <inheritdoc/>
    public override unsafe bool TryEncodeUnicodeScalar(int unicodeScalar, char* buffer, int bufferLength, out int numberOfCharactersWritten)
    {
        var output = new Span<char>(buffer, bufferLength);
        numberOfCharactersWritten = 0;
        char? escape = ShortEscape(unicodeScalar);
        Span<char> units = stackalloc char[2];
        int unitCount = new Rune(unicodeScalar).EncodeToUtf16(units);
        int needed = escape is null ? 6 * unitCount : 2;
        if (output.Length < needed)
        {
            return false;
        }

        if (escape is { } letter)
        {
            output[0] = '\\';
            output[1] = letter;
        }
        else
        {
            for (int i = 0; i < unitCount; i++)
            {
                "\\u".CopyTo(output[(6 * i)..]);
                ((int)units[i]).TryFormat(output[((6 * i) + 2)..], out _, "X4");
            }
        }

        numberOfCharactersWritten = needed;
        return true;
    }

    private static char? ShortEscape(int unicodeScalar)
    {
        for (int i = 0; i < ShortEscapes.Length; i += 2)
        {
            if (ShortEscapes[i] == unicodeScalar)
            {
                return ShortEscapes[i + 1];
            }
        }

        return null;
    }
}
