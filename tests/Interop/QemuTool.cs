using System.Diagnostics;
using System.Text.Json;
using NUnit.Framework;

namespace Interop;

/// <summary>Runs the real qemu programs.</summary>
internal static class QemuTool
{
    /// <summary>Runs a program to its end and demands that it succeeds.</summary>
    /// <returns>What it wrote to its standard output.</returns>
    internal static string Run(string program, params string[] arguments) => Run(program, "", arguments);

    /// <summary>What the storage daemon says of the bitmaps of an image that it opens: the hash of each.</summary>
    internal static Dictionary<string, string> BitmapHashes(string image, params string[] names)
    {
        var commands = new List<string> { """{"execute": "qmp_capabilities"}""" };
        commands.AddRange(names.Select(name =>
            $$$"""{"execute": "x-debug-block-dirty-bitmap-sha256", "arguments": {"node": "q", "name": "{{{name}}}"}, "id": "{{{name}}}"}"""));
        commands.Add("""{"execute": "quit"}""");
        string replies = Run(
            "qemu-storage-daemon",
            string.Join('\n', commands),
            "--blockdev",
            $"driver=qcow2,node-name=q,file.driver=file,file.filename={image}",
            "--chardev",
            "stdio,id=c",
            "--monitor",
            "chardev=c");
        var hashes = new Dictionary<string, string>();
        foreach (string line in replies.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            using JsonDocument reply = JsonDocument.Parse(line);
            if (reply.RootElement.TryGetProperty("id", out JsonElement id))
                hashes[id.GetString()!] = reply.RootElement.GetProperty("return").GetProperty("sha256").GetString()!;
        }

        return hashes;
    }

    private static string Run(string program, string input, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.That(process.ExitCode, Is.Zero, $"{program} {string.Join(' ', arguments)}: {errors.Result}");
        return output;
    }
}
