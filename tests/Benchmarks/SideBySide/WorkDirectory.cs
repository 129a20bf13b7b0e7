using System.Diagnostics;

namespace Benchmarks.SideBySide;

/// <summary>A directory of our own, on tmpfs where there is one (to measure code instead of the disk); gone when disposed.</summary>
internal sealed class WorkDirectory : IDisposable
{
    private const long NeededBytes = 6L << 30;
    private readonly string _shared;
    private readonly string _run;

    public WorkDirectory()
    {
        string root = Directory.Exists("/dev/shm") && new DriveInfo("/dev/shm").AvailableFreeSpace > NeededBytes ? "/dev/shm" : System.IO.Path.GetTempPath();
        Path = Directory.CreateDirectory(System.IO.Path.Combine(root, $"monitor-bench-{Environment.ProcessId}")).FullName;
        _shared = Directory.CreateDirectory(System.IO.Path.Combine(Path, "shared")).FullName;
        _run = Directory.CreateDirectory(System.IO.Path.Combine(Path, "run")).FullName;
    }

    public string Path { get; }

    /// <summary>A path for something all runs share.</summary>
    public string Shared(string name) => System.IO.Path.Combine(_shared, name);

    /// <summary>A path for something of this run.</summary>
    public string Run(string name) => System.IO.Path.Combine(_run, name);

    /// <summary>Removes what the last run left.</summary>
    public void Clean()
    {
        Directory.Delete(_run, recursive: true);
        Directory.CreateDirectory(_run);
    }

    /// <summary>Runs a tool and throws when it fails.</summary>
    public static void Tool(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        process.BeginOutputReadLine();
        if (!process.WaitForExit(Patience.Tool))
        {
            process.Kill();
            throw new InvalidOperationException($"{program} {arguments[0]} did not end");
        }

        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{program} {arguments[0]} exited with {process.ExitCode}");
        }
    }

    /// <summary>A raw file of <paramref name="bytes"/> bytes without a zero block.</summary>
    public string Filled(string name, long bytes)
    {
        string path = Shared(name);
        if (File.Exists(path))
        {
            return path;
        }

        byte[] block = new byte[1 << 20];
        var random = new Random(1);
        using FileStream file = File.Create(path);
        for (long done = 0; done < bytes; done += block.Length)
        {
            random.NextBytes(block);
            file.Write(block);
        }

        return path;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
