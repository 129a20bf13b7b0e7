using System.Diagnostics;
using NUnit.Framework;

namespace Testing;

/// <summary>The real tools that serve as oracles. A missing one is a failure, never a skip.</summary>
public static class Tool
{
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(10);

    /// <summary>Runs a tool and returns what it printed; fails the test when it exits with another code than 0.</summary>
    public static string Run(string program, params string[] arguments)
    {
        ToolResult result = Try(program, arguments);
        Assert.That(result.ExitCode, Is.Zero, $"{program} {string.Join(' ', arguments)}\n{result.Output}{result.Error}");
        return result.Output;
    }

    /// <summary>Runs a tool and returns what it printed and its exit code.</summary>
    public static ToolResult Try(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        using Process process = Process.Start(start)!;
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(s_limit))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"{program} {string.Join(' ', arguments)} did not end");
        }

        return new ToolResult(process.ExitCode, output.Result, error.Result);
    }
}

/// <summary>What a tool said.</summary>
public sealed record ToolResult(int ExitCode, string Output, string Error);
