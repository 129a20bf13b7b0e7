using System.Diagnostics.CodeAnalysis;

namespace Monitor.Qmp;

/// <summary>The daemon's character devices by id, in the order they were made. Any thread may use it.</summary>
public sealed class ChardevTable : IDisposable
{
    private readonly Lock _lock = new();

    private readonly List<Chardev> _chardevs = [];

    /// <summary>The devices of the moment.</summary>
    public IReadOnlyList<Chardev> All
    {
        get
        {
            lock (_lock)
            {
                return [.. _chardevs];
            }
        }
    }

    /// <summary>Finds a device.</summary>
    public bool TryGet(string id, [NotNullWhen(true)] out Chardev? chardev)
    {
        lock (_lock)
        {
            chardev = _chardevs.Find(candidate => candidate.Id == id);
            return chardev is not null;
        }
    }

    /// <summary>Makes a device.</summary>
    /// <param name="id">Its name.</param>
    /// <param name="backend">What it is made of.</param>
    /// <exception cref="QmpException">It cannot be made, or the name is taken.</exception>
    public async Task<Chardev> AddAsync(string id, ChardevBackend backend)
    {
        CheckFree(id);
        if (backend.Type == ChardevBackendKind.Stdio && All.Any(other => other.FileName == "stdio"))
        {
            throw new QmpException("cannot use stdio by multiple character devices");
        }

        Chardev chardev = await ChardevFactory.OpenAsync(id, backend);
        try
        {
            lock (_lock)
            {
                CheckFree(id);
                _chardevs.Add(chardev);
            }
        }
        catch
        {
            chardev.Dispose();
            throw;
        }

        return chardev;
    }

    /// <summary>Removes a device and closes it.</summary>
    public void Remove(Chardev chardev)
    {
        lock (_lock)
        {
            _chardevs.Remove(chardev);
        }

        chardev.Dispose();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Chardev chardev in All)
        {
            Remove(chardev);
        }
    }

    private void CheckFree(string id)
    {
        if (TryGet(id, out _))
        {
            throw new QmpException($"Chardev with id '{id}' already exists");
        }
    }
}
