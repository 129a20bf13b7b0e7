using System.Text;
using Monitor.Qapi.Json;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>The conformance transcripts, cut into chunks in every way: the parser gives the same values and errors.</summary>
public sealed class TranscriptSplitTests
{
    [TestCaseSource(typeof(TranscriptTests), nameof(TranscriptTests.Transcripts))]
    public void Every_split_gives_the_same_values(string name)
    {
        string[] lines = [.. File.ReadLines(Path.Combine(Repository.Root, "tests", "Conformance", "Transcripts", name))
            .Where(line => line.Length > 0 && !"/>!#".Contains(line[0]))];
        byte[] whole = Encoding.UTF8.GetBytes(string.Join("\r\n", lines) + "\r\n");
        List<string> values = Parse(whole, whole.Length);
        Assert.That(values, Has.Count.GreaterThanOrEqualTo(lines.Length / 2));
        Assert.That(Parse(whole, 1), Is.EqualTo(values), "byte by byte");
        for (int i = 0; i + 1 < lines.Length; i += 2)
        {
            AssertSplits(Encoding.UTF8.GetBytes(lines[i] + "\r\n" + lines[i + 1] + "\r\n"));
        }
    }

    private static void AssertSplits(byte[] lines)
    {
        List<string> values = Parse(lines, lines.Length);
        for (int split = 1; split < lines.Length; split++)
        {
            if (!Parse(lines, split).SequenceEqual(values))
            {
                Assert.Fail($"split at {split}: {Encoding.UTF8.GetString(lines)}");
            }
        }
    }

    /// <summary>What comes of the bytes, fed up to the first cut and then in pieces of that size.</summary>
    private static List<string> Parse(byte[] bytes, int pieceLength)
    {
        var parser = new JsonStreamParser();
        var results = new List<string>();
        var writer = new JsonWriter();
        for (int start = 0; start < bytes.Length; start += pieceLength)
        {
            ReadOnlySpan<byte> piece = bytes.AsSpan(start, Math.Min(pieceLength, bytes.Length - start));
            int position = 0;
            while (parser.TryRead(piece, ref position, out string? error))
            {
                writer.Clear();
                if (error is null)
                {
                    parser.Tape.WriteValue(0, writer);
                }

                results.Add(error ?? writer.ToString());
            }
        }

        return results;
    }
}
