using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Benchmarks.SideBySide;

/// <summary>The CPU clock of another process, in nanoseconds: <c>/proc/PID/stat</c> counts ticks of 10 ms, too coarse for short work.</summary>
internal static partial class ProcessClock
{
    /// <summary>Seconds of CPU used so far, user and system, by all threads that the process has had.</summary>
    public static double CpuSeconds(int processId)
    {
        int failure = GetClock(processId, out int clock);
        if (failure != 0 || GetTime(clock, out Time time) != 0)
        {
            throw new Win32Exception(failure != 0 ? failure : Marshal.GetLastPInvokeError());
        }

        return time.Seconds + (time.Nanoseconds / 1e9);
    }

    [LibraryImport("libc", EntryPoint = "clock_getcpuclockid")]
    private static partial int GetClock(int processId, out int clock);

    [LibraryImport("libc", EntryPoint = "clock_gettime", SetLastError = true)]
    private static partial int GetTime(int clock, out Time time);

    [StructLayout(LayoutKind.Sequential)]
    private struct Time
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
