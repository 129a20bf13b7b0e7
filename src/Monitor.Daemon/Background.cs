using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Monitor.Daemon.CommandLine;

namespace Monitor.Daemon;

/// <summary><c>--daemonize</c>: the program goes on in the background, and the one who started it learns when that worked.</summary>
/// <remarks>
/// A running runtime cannot be forked, so the program executes itself once more with the same arguments, the same descriptors and the
/// end of a pipe, whose number an environment variable tells. The child leads a session of its own and starts as always, its errors on
/// the inherited stderr. When all stands it lets go of stdin, stdout and stderr and writes one byte: that is when the parent returns.
/// An end of the pipe without that byte means that the child has failed, and the parent hands on its exit status.
/// </remarks>
internal static partial class Background
{
    private const string Variable = "QMP_MONITOR_STATUS_FD";

    private const string DescriptorDirectory = "/proc/self/fd";

    private const int ReadWrite = 2;

    private const int KeepUntilExec = 0x80000;

    /// <summary>The group may not write, others may nothing (octal 027), as in QEMU.</summary>
    private const uint NothingForOthers = 0x17;

    /// <summary>Whether this process is the child.</summary>
    public static bool IsChild => Environment.GetEnvironmentVariable(Variable) is not null;

    /// <summary>Starts the child and waits until it serves.</summary>
    /// <param name="arguments">Those of this process.</param>
    /// <returns>The exit status: 0 when the child serves.</returns>
    public static int StartChild(string[] arguments)
    {
        Span<int> ends = stackalloc int[2];
        Check(Pipe(ref ends[0], KeepUntilExec));
        using var status = new FileStream(new SafeFileHandle(ends[0], ownsHandle: true), FileAccess.Read, bufferSize: 0);
        int inherited = Check(Duplicate(ends[1]));
        Check(CloseDescriptor(ends[1]));
        var start = new ProcessStartInfo(Environment.ProcessPath!, arguments);
        start.Environment[Variable] = inherited.ToString(CultureInfo.InvariantCulture);
        using Process child = Process.Start(start)!;
        Check(CloseDescriptor(inherited));
        if (status.ReadByte() >= 0)
        {
            return 0;
        }

        child.WaitForExit();
        return child.ExitCode;
    }

    /// <summary>Makes the child independent of the terminal it was started from; files it makes are no business of others.</summary>
    public static void BeginSession()
    {
        Check(SetSid());
        _ = SetUmask(NothingForOthers);
    }

    /// <summary>Lets go of the inherited streams and directory, and lets the parent return.</summary>
    public static void ReportStarted()
    {
        var status = new SafeFileHandle(nint.Parse(Environment.GetEnvironmentVariable(Variable)!, CultureInfo.InvariantCulture), ownsHandle: true);
        Environment.SetEnvironmentVariable(Variable, null);
        Environment.CurrentDirectory = "/";
        int nowhere = Check(Open("/dev/null", ReadWrite | KeepUntilExec));
        foreach (int descriptor in FindStandardStreams())
        {
            Check(Redirect(nowhere, descriptor));
        }

        Check(CloseDescriptor(nowhere));
        using var stream = new FileStream(status, FileAccess.Write, bufferSize: 0);
        stream.WriteByte(0);
    }

    /// <summary>Stdin, stdout and stderr, and the copies of them that the runtime has made for itself.</summary>
    private static List<int> FindStandardStreams()
    {
        string?[] streams = [.. Enumerable.Range(0, 3).Select(LinkOf)];
        return [.. Directory.EnumerateFileSystemEntries(DescriptorDirectory)
            .Select(path => int.Parse(Path.GetFileName(path), CultureInfo.InvariantCulture))
            .Where(descriptor => descriptor <= 2 || (LinkOf(descriptor) is { } link && streams.Contains(link)))];
    }

    private static string? LinkOf(int descriptor) => new FileInfo($"{DescriptorDirectory}/{descriptor}").LinkTarget;

    private static int Check(int result) => result >= 0
        ? result
        : throw new CommandLineException($"cannot go to the background: {Marshal.GetLastPInvokeErrorMessage()}");

    [LibraryImport("libc", EntryPoint = "pipe2", SetLastError = true)]
    private static partial int Pipe(ref int firstEnd, int flags);

    [LibraryImport("libc", EntryPoint = "dup", SetLastError = true)]
    private static partial int Duplicate(int descriptor);

    [LibraryImport("libc", EntryPoint = "dup2", SetLastError = true)]
    private static partial int Redirect(int from, int to);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int CloseDescriptor(int descriptor);

    [LibraryImport("libc", EntryPoint = "setsid", SetLastError = true)]
    private static partial int SetSid();

    [LibraryImport("libc", EntryPoint = "umask")]
    private static partial uint SetUmask(uint mask);
}
