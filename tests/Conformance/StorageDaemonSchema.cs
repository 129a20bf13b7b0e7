using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json;
using NUnit.Framework;

namespace Conformance;

/// <summary>Asks the real qemu-storage-daemon for its schema.</summary>
internal static class StorageDaemonSchema
{
    private const string Requests = """{"execute":"qmp_capabilities"}{"execute":"query-qmp-schema","id":"schema"}{"execute":"quit"}""";

    /// <summary>Its answer to <c>query-qmp-schema</c>; the test is skipped where it is not installed.</summary>
    public static JsonDocument Query()
    {
        var start = new ProcessStartInfo("qemu-storage-daemon", ["--chardev", "stdio,id=c", "--monitor", "chardev=c"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        using Process daemon = Start(start);
        daemon.StandardInput.Write(Requests);
        daemon.StandardInput.Flush();
        JsonDocument? answer = null;
        while (answer is null && daemon.StandardOutput.ReadLine() is { } line)
        {
            using JsonDocument reply = JsonDocument.Parse(line);
            if (reply.RootElement.TryGetProperty("id", out _))
            {
                answer = JsonDocument.Parse(reply.RootElement.GetProperty("return").GetRawText());
            }
        }

        daemon.WaitForExit();
        return answer ?? throw new InvalidDataException("qemu-storage-daemon gave no schema");
    }

    private static Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception)
        {
            Assert.Ignore("qemu-storage-daemon is not installed");
            throw;
        }
    }
}
