using System.Text;
using BenchmarkDotNet.Attributes;
using Unit.Daemon;

namespace Benchmarks.Micro;

/// <summary>What a query costs inside the daemon, from the request's bytes to the reply's: time, and bytes allocated.</summary>
/// <remarks>The time has two changes of thread in it that a socket's would be instead.</remarks>
[MemoryDiagnoser]
[InProcess]
public class QueryBenchmarks
{
    private InProcessDaemon _daemon = null!;
    private InProcessClient _client = null!;
    private byte[] _request = [];

    /// <summary>The command.</summary>
    [Params("query-version", "query-jobs", "query-block", "query-named-block-nodes", "query-blockstats", "query-qmp-schema")]
    public string Command { get; set; } = "";

    [GlobalSetup]
    public void Setup()
    {
        _daemon = new InProcessDaemon();
        _client = _daemon.Connect();
        InProcessDaemon.AddNodes(_client, 50);
        _request = Encoding.ASCII.GetBytes($"{{\"execute\":\"{Command}\"}}");
    }

    [GlobalCleanup]
    public void Cleanup() => _daemon.Dispose();

    [Benchmark]
    public void Ask()
    {
        _client.Send(_request);
        _client.DropOutput();
    }
}
