using Monitor.Qapi;

namespace Monitor.Storage;

/// <summary>What the command line calls the virtual machine that is not there: clients made for one ask back what they gave.</summary>
public sealed class MachineIdentity
{
    /// <summary>The name; <see langword="null"/> when none was given.</summary>
    public string? Name { get; private set; }

    /// <summary>The UUID; zeroes when none was given.</summary>
    public Guid Uuid { get; private set; }

    /// <summary>Reads <c>[guest=]NAME[,process=…][,debug-threads=…]</c>.</summary>
    /// <exception cref="QmpException">There is an unknown key.</exception>
    public void TakeName(string text)
    {
        Dictionary<string, string> options = LegacyOptions.Parse(text, "guest");
        LegacyOptions.CheckKnown(options, ["guest", "process", "debug-threads"]);
        Name = options.GetValueOrDefault("guest");
    }

    /// <summary>Reads a UUID of 32 digits and four dashes.</summary>
    /// <exception cref="QmpException">It is none.</exception>
    public void TakeUuid(string text) => Uuid =
        Guid.TryParseExact(text, "D", out Guid uuid) ? uuid : throw new QmpException("failed to parse UUID string: wrong format");
}
