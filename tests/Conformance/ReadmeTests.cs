using System.Globalization;
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
        (long Offset, long Length)[] increment = [.. MapLine().Matches(output).Select(m => (Hex(m.Groups[1].Value), Hex(m.Groups[2].Value)))];
        Assert.That(increment[0].Offset, Is.EqualTo(64 << 20), "the increment holds what was written since the checkpoint");
        Assert.That(increment.Sum(extent => extent.Length), Is.EqualTo(1 << 20), "and nothing else");
        Assert.That(output, Does.Contain("No errors were found on the image."));
        Assert.That(output, Does.Contain("name: monday").And.Contain("name: tuesday"));
    }

    private static long Hex(string digits) => long.Parse(digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    [GeneratedRegex("^0x([0-9a-f]+) +0x([0-9a-f]+) .*increment.qcow2$", RegexOptions.Multiline)]
    private static partial Regex MapLine();

    [GeneratedRegex("^```sh\n(.*?)^```$", RegexOptions.Singleline | RegexOptions.Multiline)]
    private static partial Regex ShellBlock();
}
