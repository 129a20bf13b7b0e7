using System.Diagnostics;
using NUnit.Framework;

namespace Interop.Qcow2;

/// <summary>Runs the real tools.</summary>
internal static class QemuTool
{
    /// <summary>Runs a program to its end; fails the test if it fails.</summary>
    /// <returns>What it printed.</returns>
    public static async Task<string> RunAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        string text = await output + await errors;
        Assert.That(process.ExitCode, Is.Zero, $"{program} {string.Join(' ', arguments)}: {text}");
        return text;
    }

    /// <summary>Asserts that <c>qemu-img check</c> finds neither corruption nor leaks.</summary>
    public static async Task CheckAsync(string image) =>
        Assert.That(await RunAsync("qemu-img", "check", "-f", "qcow2", image), Does.Contain("No errors were found on the image."));

    /// <summary>Asserts that two images show the same bytes.</summary>
    public static async Task CompareAsync(string left, string leftFormat, string right, string rightFormat) =>
        Assert.That(
            await RunAsync("qemu-img", "compare", "-f", leftFormat, "-F", rightFormat, left, right), Does.Contain("Images are identical."));
}
