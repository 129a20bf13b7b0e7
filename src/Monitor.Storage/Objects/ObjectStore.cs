using Monitor.Block;
using Monitor.Block.Io;
using Monitor.Block.Throttling;
using Monitor.Qapi;

namespace Monitor.Storage.Objects;

/// <summary>The objects that clients made, by id. Used in turns only.</summary>
/// <param name="throttleGroups">Gets the groups that <c>throttle-group</c> objects stand for.</param>
public sealed class ObjectStore(ThrottleGroups throttleGroups)
{
    /// <summary>Bytes that a secret's file may have.</summary>
    private const int MaximumSecretBytes = 1 << 20;

    private readonly Dictionary<string, UserObject> _objects = [];

    /// <summary>All objects, oldest first.</summary>
    public IReadOnlyCollection<UserObject> All => _objects.Values;

    /// <summary>The object of that id, if there is one.</summary>
    public UserObject? Find(string id) => _objects.GetValueOrDefault(id);

    /// <summary>Whether there is an iothread of that id.</summary>
    public bool HasIothread(string id) => Find(id) is IothreadObject;

    /// <summary>The secret of that id.</summary>
    /// <exception cref="QmpException">There is none.</exception>
    public SecretObject GetSecret(string id) =>
        Find(id) switch
        {
            SecretObject secret => secret,
            null => throw new QmpException($"No secret with id '{id}'"),
            _ => throw new QmpException($"Object with id '{id}' is not a secret"),
        };

    /// <summary>Makes an object.</summary>
    /// <exception cref="QmpException">The id is malformed or taken, or a property out of range.</exception>
    public async ValueTask AddAsync(ObjectOptions options)
    {
        if (!NodeName.IsWellFormed(options.Id))
        {
            throw new QmpException("Parameter 'id' expects an identifier");
        }

        CheckIsFree(options.Id);
        UserObject made = options.QomType switch
        {
            ObjectType.Iothread => new IothreadObject(options.Id, options.Iothread),
            ObjectType.ThrottleGroup => new ThrottleGroupObject(options.Id, options.ThrottleGroup, throttleGroups),
            ObjectType.Secret => await MakeSecretAsync(options.Id, options.Secret),
            _ => throw new InvalidOperationException($"the schema has an object that nobody makes: {options.QomType.ToWire()}"),
        };
        CheckIsFree(options.Id);
        _objects.Add(options.Id, made);
        DaemonLog.Info("Storage", $"object {options.Id} ({made.TypeName}) added");
    }

    /// <summary>Removes an object.</summary>
    /// <exception cref="QmpException">There is none of that id, or it is in use.</exception>
    public void Remove(string id)
    {
        UserObject removed = Find(id) ?? throw new QmpException($"object '{id}' not found");
        if (removed.IsInUse)
        {
            throw new QmpException($"object '{id}' is in use, can not be deleted");
        }

        _objects.Remove(id);
        removed.OnRemoved();

        DaemonLog.Info("Storage", $"object {id} removed");
    }

    private static byte[] ReadSecret(string path)
    {
        string step = "Failed to open";
        try
        {
            using var file = new FileStream(path, new FileStreamOptions { BufferSize = 0, Share = FileShare.ReadWrite | FileShare.Delete });
            step = "Error reading";
            byte[] content = new byte[MaximumSecretBytes];
            int length = file.ReadAtLeast(content, content.Length, throwOnEndOfStream: false);
            return length < MaximumSecretBytes ? content[..length] : throw new QmpException($"Unable to read {path}: it is not below {MaximumSecretBytes} bytes");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            string reason = e is FileNotFoundException or DirectoryNotFoundException or ArgumentException ? "No such file or directory"
                : Directory.Exists(path) ? "Is a directory"
                : e is UnauthorizedAccessException ? "Permission denied"
                : e.Message;
            step = reason == "Is a directory" ? "Error reading" : step;
            throw new QmpException($"Unable to read {path}: {step} file “{path}”: {reason}");
        }
    }

    private async ValueTask<SecretObject> MakeSecretAsync(string id, SecretProperties properties)
    {
        SecretObject.Check(properties);
        byte[]? content = properties.File is { } path ? await BlockThreads.RunAsync(() => ReadSecret(path)) : null;
        return new SecretObject(id, properties, content, this);
    }

    private void CheckIsFree(string id)
    {
        if (_objects.ContainsKey(id))
        {
            throw new QmpException($"attempt to add duplicate property '{id}' to object (type 'container')");
        }
    }
}
