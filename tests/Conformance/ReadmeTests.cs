using System.Text.RegularExpressions;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>The README's tour, run as it stands.</summary>
public sealed partial class ReadmeTests
{
    [Test]
    public void Every_command_of_the_tour_works()
    {
        string readme = File.ReadAllText(Path.Combine(Repository.Root, "README.md"));
        string tour = string.Concat(ShellBlock().Matches(readme).Select(m => m.Groups[1].Value));
        using var directory = new TemporaryDirectory();
        string script = directory.File("tour.sh");
        File.WriteAllText(script, $"set -euo pipefail\nexport TMPDIR={directory.Path}\ncd {Repository.Root}\n{tour}");

        string output = Tool.Run("bash", script);

        Assert.That(output, Does.Contain("\"count\": 3145728"), "the bitmap counts what the NBD client wrote");
        Assert.That(output, Does.Match("0x4000000 +0x100000 .*increment.qcow2"), "the increment holds what was written since the checkpoint");
        Assert.That(output, Does.Contain("No errors were found on the image."));
        Assert.That(output, Does.Contain("name: monday").And.Contain("name: tuesday"));
    }

    [GeneratedRegex("^```sh\n(.*?)^```$", RegexOptions.Singleline | RegexOptions.Multiline)]
    private static partial Regex ShellBlock();
}
