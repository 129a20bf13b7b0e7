namespace Benchmarks.SideBySide;

/// <summary>Collects figures and prints one table: medians of both daemons and how much better the second is.</summary>
internal sealed class Report(int daemons)
{
    private readonly List<Row> _rows = [];

    public void Add(string name, string unit, Better better, int daemon, double value)
    {
        Row? row = _rows.Find(r => r.Name == name);
        if (row is null)
        {
            row = new Row(name, unit, better, [.. Enumerable.Range(0, daemons).Select(_ => new List<double>())]);
            _rows.Add(row);
        }

        row.Values[daemon].Add(value);
    }

    /// <summary>Prints a Markdown table; a ratio above 1 means that B is better.</summary>
    public void Print(TextWriter output)
    {
        output.WriteLine("| what | unit | A median | A best | B median | B best | B better by (medians) | (bests) |");
        output.WriteLine("| --- | --- | --: | --: | --: | --: | --: | --: |");
        foreach (Row row in _rows)
        {
            double a = Median(row.Values[0]);
            double b = Median(row.Values[1]);
            double bestA = Best(row.Values[0], row.Better);
            double bestB = Best(row.Values[1], row.Better);
            output.WriteLine(
                $"| {row.Name} | {row.Unit} | {Text(a)} | {Text(bestA)} | {Text(b)} | {Text(bestB)} | {Ratio(a, b, row.Better)} | {Ratio(bestA, bestB, row.Better)} |");
        }
    }

    private static string Ratio(double a, double b, Better better)
    {
        if (double.IsNaN(a) || double.IsNaN(b))
        {
            return "–";
        }

        (double up, double down) = better == Better.More ? (b, a) : (a, b);
        return down == 0 ? "–" : $"{up / down:0.00}×";
    }

    private static string Text(double value) => double.IsNaN(value) ? "–" : value >= 100 ? $"{value:0}" : value >= 1 ? $"{value:0.0}" : $"{value:0.000}";

    /// <summary>The median; NaN where a daemon has nothing to show.</summary>
    private static double Median(List<double> values)
    {
        if (values.Count == 0)
        {
            return double.NaN;
        }

        List<double> sorted = [.. values.Order()];
        int middle = sorted.Count / 2;
        return sorted.Count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    private static double Best(List<double> values, Better better) =>
        values.Count == 0 ? double.NaN : better == Better.More ? values.Max() : values.Min();

    private sealed record Row(string Name, string Unit, Better Better, List<double>[] Values);
}
