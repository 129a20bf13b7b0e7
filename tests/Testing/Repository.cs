namespace Testing;

/// <summary>Where the repository and its built programs are.</summary>
public static class Repository
{
    /// <summary>The repository's top folder: the nearest one above the test binaries that holds Monitor.sln.</summary>
    public static string Root { get; } = Find();

    /// <summary>The release build of the daemon that scripts/build leaves.</summary>
    public static string Daemon => Path.Combine(Root, "out", "qmp-monitor");

    /// <summary>The release build of the shell that scripts/build leaves.</summary>
    public static string Shell => Path.Combine(Root, "out", "qmp-shell");

    private static string Find()
    {
        DirectoryInfo? directory = new(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Monitor.sln")))
        {
            directory = directory.Parent;
        }

        return directory?.FullName ?? throw new InvalidOperationException("the tests run outside the repository");
    }
}
