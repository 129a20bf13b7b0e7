using System.Globalization;

namespace Benchmarks.SideBySide;

/// <summary>What the command line asks for.</summary>
/// <param name="Daemons">The programs compared, first the one that ratios are taken against.</param>
/// <param name="Rounds">How often every scenario runs.</param>
/// <param name="Only">Names of the scenarios wanted; empty for all.</param>
/// <param name="Burst">How long one load lasts.</param>
internal sealed record BenchOptions(string[] Daemons, int Rounds, string[] Only, TimeSpan Burst)
{
    public bool Wants(string name) => Only.Length == 0 || Only.Contains(name);

    /// <summary>Reads the arguments; prints what is wrong and returns null when they do not fit.</summary>
    public static BenchOptions? Parse(string[] arguments)
    {
        var options = new BenchOptions([], 3, [], TimeSpan.FromSeconds(1.5));
        var daemons = new List<string>();
        for (int i = 0; i < arguments.Length; i++)
        {
            switch (arguments[i])
            {
                case "--rounds" when i + 1 < arguments.Length:
                    options = options with { Rounds = int.Parse(arguments[++i], CultureInfo.InvariantCulture) };
                    break;
                case "--seconds" when i + 1 < arguments.Length:
                    options = options with { Burst = TimeSpan.FromSeconds(double.Parse(arguments[++i], CultureInfo.InvariantCulture)) };
                    break;
                case "--only" when i + 1 < arguments.Length:
                    options = options with { Only = arguments[++i].Split(',') };
                    break;
                default:
                    daemons.Add(arguments[i]);
                    break;
            }
        }

        if (daemons.Count != 2)
        {
            Console.Error.WriteLine("side-by-side needs two daemons: OTHER OURS");
            return null;
        }

        return options with { Daemons = [.. daemons] };
    }
}
