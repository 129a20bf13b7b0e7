namespace Monitor.Storage.Hmp.QemuIo;

/// <summary>A command of the qemu-io tool.</summary>
internal abstract class QemuIoCommand
{
    /// <summary>Its name.</summary>
    public abstract string Name { get; }

    /// <summary>What may follow the name, for help and errors.</summary>
    public virtual string Arguments => "";

    /// <summary>What it does.</summary>
    public abstract string Help { get; }

    /// <summary>Its options as getopt(3) spells them: letters, those with a value followed by a colon.</summary>
    public virtual string Options => "";

    /// <summary>Words after the name, options included, at least.</summary>
    public virtual int MinimumWords => 0;

    /// <summary>The same at most; -1 for no limit.</summary>
    public virtual int MaximumWords => 0;

    /// <summary>Whether it writes to the node.</summary>
    public virtual bool Writes => false;

    /// <summary>Whether a drive's figures count its requests.</summary>
    public virtual bool IsCounted => false;

    /// <summary>How help and errors show it.</summary>
    public string Usage => $"{Name} {(Arguments.Length > 0 ? Arguments + " " : "")}-- {Help}";

    /// <summary>Carries it out; a turn.</summary>
    /// <returns>What goes on after the reply, if anything.</returns>
    /// <exception cref="QemuIoException">It cannot be done; the message is printed.</exception>
    public abstract ValueTask<Task?> RunAsync(QemuIoRequest request);
}
