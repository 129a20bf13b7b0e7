using System.Security.Cryptography;
using System.Text;
using Monitor.Qapi;

namespace Monitor.Storage.Objects;

/// <summary>A secret: bytes given in place or read from a file, as they are or in base64, perhaps encrypted (AES-256-CBC) under another.</summary>
public sealed class SecretObject : UserObject
{
    private const int KeyBytes = 32;
    private const int BlockBytes = 16;

    private readonly SecretProperties _given;
    private readonly byte[] _value;
    private string? _data;
    private string? _file;
    private string? _keyId;
    private string? _iv;
    private QCryptoSecretFormat _format;

    /// <summary>Makes one.</summary>
    /// <param name="id">Its id.</param>
    /// <param name="given">Its properties.</param>
    /// <param name="content">What its file holds, if it has one.</param>
    /// <param name="objects">Where its key is looked up.</param>
    /// <exception cref="QmpException">The properties contradict each other, or the secret cannot be decoded.</exception>
    internal SecretObject(string id, SecretProperties given, byte[]? content, ObjectStore objects)
        : base(id)
    {
        _given = given;
        (_data, _file, _keyId, _iv, _format) = (given.Data, given.File, given.Keyid, given.Iv, given.Format ?? QCryptoSecretFormat.Raw);
        byte[] input = content ?? Encoding.UTF8.GetBytes(_data!);
        _value = _keyId is not null ? Decrypt(objects.GetSecret(_keyId), input) : Decode(input);
    }

    /// <inheritdoc/>
    public override string TypeName => "secret";

    /// <summary>The secret in clear.</summary>
    public ReadOnlyMemory<byte> Value => _value;

    /// <summary>What every kind of secret has.</summary>
    internal static IReadOnlyList<QomProperty> CommonProperties { get; } =
        [new("iv", "string"), new("keyid", "string"), new("loaded", "bool"), new("format", "QCryptoSecretFormat")];

    /// <summary>What this kind has.</summary>
    internal static IReadOnlyList<QomProperty> AllProperties { get; } = [.. CommonProperties, new("file", "string"), new("data", "string")];

    /// <summary>Refuses properties that say two things or none.</summary>
    /// <exception cref="QmpException">They do.</exception>
    internal static void Check(SecretProperties given)
    {
        string? wrong = given.Loaded is not null ? "Property 'secret.loaded' is not writable"
            : given.Data is not null && given.File is not null ? "'file' and 'data' are mutually exclusive"
            : given.Data is null && given.File is null ? "Either 'file' or 'data' must be provided"
            : null;
        if (wrong is not null)
        {
            throw new QmpException(wrong);
        }
    }

    /// <inheritdoc/>
    protected override QmpValue? TryGet(string property) => property switch
    {
        "data" => QmpValue.FromString(_data ?? ""),
        "file" => QmpValue.FromString(_file ?? ""),
        "keyid" => QmpValue.FromString(_keyId ?? ""),
        "iv" => QmpValue.FromString(_iv ?? ""),
        "format" => QmpValue.FromString(_format.ToWire()),
        "loaded" => QmpValue.FromBool(true),
        _ => null,
    };

    /// <summary>Sets what the property says; the secret itself was taken when the object was made, as in QEMU.</summary>
    protected override bool TrySet(string property, QmpInputVisitor value)
    {
        switch (property)
        {
            case "data":
                _data = value.ReadString(property);
                return true;
            case "file":
                _file = value.ReadString(property);
                return true;
            case "keyid":
                _keyId = value.ReadString(property);
                return true;
            case "iv":
                _iv = value.ReadString(property);
                return true;
            case "format":
                _format = QCryptoSecretFormatWire.Read(value, property);
                return true;
            default:
                return false;
        }
    }

    private static byte[] FromBase64(ReadOnlySpan<byte> text)
    {
        var letters = new StringBuilder(text.Length);
        foreach (byte letter in text)
        {
            if (char.IsAsciiLetterOrDigit((char)letter) || letter is (byte)'+' or (byte)'/' or (byte)'=')
            {
                letters.Append((char)letter);
            }
            else if (letter is not ((byte)'\r' or (byte)'\n'))
            {
                throw new QmpException("Base64 data contains invalid characters");
            }
        }

        letters.Length -= letters.Length % 4;
        try
        {
            return Convert.FromBase64String(letters.ToString());
        }
        catch (FormatException)
        {
            throw new QmpException($"Base64 data '{letters}' is not valid");
        }
    }

    private byte[] Decode(byte[] input) => _format == QCryptoSecretFormat.Base64 ? FromBase64(input) : input;

    private byte[] Decrypt(SecretObject key, byte[] input)
    {
        if (key._value.Length != KeyBytes)
        {
            throw new QmpException($"Key should be {KeyBytes} bytes in length");
        }

        byte[] iv = FromBase64(Encoding.UTF8.GetBytes(_given.Iv ?? throw new QmpException("IV is required to decrypt secret")));
        if (iv.Length != BlockBytes)
        {
            throw new QmpException($"IV should be {BlockBytes} bytes in length not {iv.Length}");
        }

        byte[] encrypted = Decode(input);
        if (encrypted.Length % BlockBytes != 0)
        {
            throw new QmpException($"Length {encrypted.Length} must be a multiple of block size {BlockBytes}");
        }

        using var aes = Aes.Create();
        aes.Key = key._value;
        byte[] padded = aes.DecryptCbc(encrypted, iv, PaddingMode.None);
        int padding = padded.Length > 0 ? padded[^1] : 0;
        return padding <= BlockBytes && padding <= padded.Length
            ? padded[..^padding]
            : throw new QmpException($"Incorrect number of padding bytes ({padding}) found on decrypted data");
    }
}
