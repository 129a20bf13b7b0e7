using System.Globalization;
using System.Text;
using NUnit.Framework;
using Testing;

namespace Unit.Daemon;

/// <summary>Random input for the whole daemon: framer, envelope, argument readers, dispatcher.</summary>
/// <remarks>Each of the eight runs has 1,000 inputs, or as many as <c>MONITOR_FUZZ_INPUTS</c> says; 125000 makes a million in all and takes
/// some seven minutes. An input that did harm is in the message with its seed and number.</remarks>
public sealed class SessionFuzzTests
{
    private const string Ping = "\u00FF\n{\"execute\":\"query-status\",\"id\":\"ping\"}";

    private const long MaximumGrowthBytes = 64 << 20;

    private static readonly int s_inputs =
        int.TryParse(Environment.GetEnvironmentVariable("MONITOR_FUZZ_INPUTS"), CultureInfo.InvariantCulture, out int inputs) ? inputs : 1000;

    /// <summary>Requests that change nothing, whatever becomes of them.</summary>
    private static readonly string[] s_seeds =
    [
        "{\"execute\": \"query-named-block-nodes\", \"arguments\": {\"flat\": true}, \"id\": [1, {\"a\": null}]}",
        "{\"exec-oob\": \"query-jobs\", \"id\": 1.5e3}",
        "{\"execute\": \"job-pause\", \"arguments\": {\"id\": \"j\\u00e9\\n\"}}",
        "{\"execute\": \"block-job-set-speed\", \"arguments\": {\"device\": \"d\", \"speed\": 9223372036854775807}}",
        "{'execute': 'qom-get', 'arguments': {'path': '/objects', 'property': 'type'}}",
        "{\"execute\": \"query-block-dirty-bitmap-ranges\", \"arguments\": {\"node\": \"n0\", \"name\": \"b\", \"offset\": -1}}",
        "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": \"info block -v n0\"}}",
        "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}}",
    ];

    [Test]
    public void Damaged_requests_harm_neither_their_session_nor_another([Range(1, 4)] int seed)
    {
        var random = new Random(seed);
        Run(seed, () => DamagedBytes.Of(Encoding.UTF8.GetBytes(s_seeds[random.Next(s_seeds.Length)]), random));
    }

    [Test]
    public void Random_arguments_of_every_command_harm_neither_their_session_nor_another([Range(1, 4)] int seed)
    {
        var random = new Random(seed);
        using var names = new InProcessDaemon();
        string[] commands = [.. names.Connect().Ask("{\"execute\":\"query-commands\"}").Split('"').Where(word => word.Contains('-', StringComparison.Ordinal))];
        string[] members = [.. names.Connect().Ask("{\"execute\":\"query-qmp-schema\"}").Split('"').Where(word => word.Length > 2 && char.IsAsciiLetter(word[0])).Distinct()];

        // The member that no command knows keeps a request from being carried out, whatever else it says.
        Run(seed, () => Encoding.UTF8.GetBytes(
            $"{{\"execute\":\"{commands[random.Next(commands.Length)]}\",\"arguments\":{{{Members(random, members, 0)}\"x-unexpected\":1}}}}"));
    }

    private static void Run(int seed, Func<byte[]> makeInput)
    {
        using var daemon = new InProcessDaemon();
        InProcessClient attacker = daemon.Connect();
        InProcessClient bystander = daemon.Connect();
        InProcessDaemon.AddNodes(bystander, 1);
        byte[] ping = Encoding.Latin1.GetBytes(Ping);
        string status = bystander.Ask("{\"execute\":\"query-status\"}");
        long before = GC.GetTotalMemory(forceFullCollection: true);
        for (int i = 0; i < s_inputs; i++)
        {
            byte[] input = makeInput();
            attacker.Send(input);
            attacker.Send(ping);
            string replies = attacker.TakeOutput();
            if (attacker.HasEnded || !replies.Contains("\"id\": \"ping\"", StringComparison.Ordinal) || replies.Contains("Internal error", StringComparison.Ordinal))
            {
                Assert.Fail($"seed {seed}, input {i}: {Encoding.Latin1.GetString(input)} ({Convert.ToHexString(input)}) → {replies}");
            }
        }

        Assert.That(bystander.Ask("{\"execute\":\"query-status\"}"), Is.EqualTo(status));
        Assert.That(GC.GetTotalMemory(forceFullCollection: true) - before, Is.LessThan(MaximumGrowthBytes));
    }

    /// <summary>Members of any name and value, each with a comma behind it.</summary>
    private static string Members(Random random, string[] names, int depth)
    {
        var text = new StringBuilder();
        for (int i = random.Next(5); i > 0; i--)
        {
            text.Append(CultureInfo.InvariantCulture, $"\"{names[random.Next(names.Length)]}\":{Value(random, names, depth)},");
        }

        return text.ToString();
    }

    private static string Value(Random random, string[] names, int depth) => random.Next(depth > 4 ? 6 : 9) switch
    {
        0 => "null",
        1 => random.Next(2) == 0 ? "true" : "false",
        2 => random.NextInt64(long.MinValue, long.MaxValue).ToString(CultureInfo.InvariantCulture),
        3 => random.Next(10).ToString(CultureInfo.InvariantCulture),
        4 => (random.NextDouble() * 1e300).ToString("R", CultureInfo.InvariantCulture),
        5 => $"\"{names[random.Next(names.Length)]}\"",
        6 => $"[{Value(random, names, depth + 1)},{Value(random, names, depth + 1)}]",
        _ => $"{{{Members(random, names, depth + 1)}\"x-last\":{Value(random, names, depth + 1)}}}",
    };
}
