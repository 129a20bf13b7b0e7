using System.Text;
using Monitor.Qapi.Json;
using NUnit.Framework;

namespace Unit.Qapi;

/// <summary>What parsing costs in allocated bytes: a figure that no busy machine changes.</summary>
public sealed class JsonParserCostTests
{
    private const int MessageBytes = 1 << 20;

    private const int ChunkBytes = 64 << 10;

    private const string Action = """{"type": "block-dirty-bitmap-add", "data": {"node": "disk-1-format", "name": "backup-12345", "granularity": 65536}}""";

    private static IEnumerable<TestCaseData> Messages()
    {
        string actions = string.Join(", ", Enumerable.Repeat(Action, MessageBytes / (Action.Length + 2)));
        yield return new TestCaseData("{\"execute\": \"transaction\", \"arguments\": {\"actions\": [" + actions + "]}}").SetName("A_transaction_of_1_MiB");
        yield return new TestCaseData('"' + new string('x', MessageBytes - 2) + '"').SetName("A_string_of_1_MiB");
        yield return new TestCaseData('"' + string.Concat(Enumerable.Repeat("\\u00e9", (MessageBytes / 6) - 1)) + '"').SetName("An_escaped_string_of_1_MiB");
        yield return new TestCaseData(new string(' ', MessageBytes) + "1 ").SetName("White_space_of_1_MiB");
    }

    [TestCaseSource(nameof(Messages))]
    public void Parsing_allocates_at_most_four_times_the_message(string message)
    {
        byte[] bytes = Encoding.ASCII.GetBytes(message);
        Parse(bytes[..16]);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Parse(bytes);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        TestContext.Out.WriteLine($"{bytes.Length} bytes parsed, {allocated} allocated");
        Assert.That(allocated, Is.LessThanOrEqualTo(4 * MessageBytes));
    }

    private static void Parse(byte[] bytes)
    {
        var parser = new JsonStreamParser();
        for (int start = 0; start < bytes.Length; start += ChunkBytes)
        {
            int position = 0;
            parser.TryRead(bytes.AsSpan(start, Math.Min(ChunkBytes, bytes.Length - start)), ref position, out _);
        }
    }
}
