using System.Text;
using Monitor.Block;
using NUnit.Framework;

namespace Unit.Drivers;

/// <summary>The map of a range as text, one part for each run that differs from its neighbours, so that two ways of asking can be compared.</summary>
internal static class StatusMap
{
    /// <summary>Asks run by run.</summary>
    public static async Task<string> OfEachAsync(Func<long, long, ValueTask<BlockStatus>> ask, long offset, long length)
    {
        List<BlockStatus> runs = [];
        for (long end = offset + length; offset < end; offset += runs[^1].Length)
        {
            runs.Add(await ask(offset, end - offset));
        }

        return Text(runs);
    }

    /// <summary>Asks for many runs at a time, and holds the answers to what they promise.</summary>
    public static async Task<string> OfManyAsync(
        Func<long, long, Memory<BlockStatus>, ValueTask<int>> ask, long offset, long length, int room, string message)
    {
        List<BlockStatus> told = [];
        var runs = new BlockStatus[room];
        for (long end = offset + length; offset < end;)
        {
            int count = await ask(offset, end - offset, runs);
            Assert.That(count, Is.InRange(1, room), message);
            foreach (BlockStatus run in runs.AsSpan(0, count))
            {
                Assert.That(run.Length, Is.InRange(1, end - offset), message);
                told.Add(run);
                offset += run.Length;
            }
        }

        return Text(told);
    }

    private static string Text(List<BlockStatus> runs)
    {
        var text = new StringBuilder();
        for (int i = 0; i < runs.Count;)
        {
            BlockStatus kind = runs[i] with { Length = 0 };
            long length = 0;
            for (; i < runs.Count && runs[i] with { Length = 0 } == kind; i++)
            {
                length += runs[i].Length;
            }

            text.Append(length).Append(kind.IsAllocated ? $"@{kind.Depth}" : "").Append(kind.IsData ? "d" : "").Append(kind.IsZero ? "z " : " ");
        }

        return text.ToString();
    }
}
