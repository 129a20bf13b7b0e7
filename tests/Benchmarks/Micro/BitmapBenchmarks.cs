using BenchmarkDotNet.Attributes;
using Monitor.Block.Bitmaps;

namespace Benchmarks.Micro;

/// <summary>What a write pays for the bitmaps of its node, and what a look at them costs. The node has 1 TiB.</summary>
[MemoryDiagnoser]
public class BitmapBenchmarks
{
    private const long SizeBytes = 1L << 40;
    private const int Writes = 1024;
    private readonly long[] _offsets = new long[Writes];
    private NodeBitmaps _bitmaps = new(SizeBytes);
    private DirtyBitmap? _first;

    /// <summary>Bitmaps that record.</summary>
    [Params(0, 1, 64)]
    public int Bitmaps { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        var random = new Random(3);
        for (int i = 0; i < Writes; i++)
        {
            _offsets[i] = random.NextInt64(SizeBytes / 4096) * 4096;
        }

        _bitmaps = new NodeBitmaps(SizeBytes);
        for (int i = 0; i < Bitmaps; i++)
        {
            _first = _bitmaps.Add($"b{i}", 65536);
        }
    }

    /// <summary>One mark of a write.</summary>
    [Benchmark(OperationsPerInvoke = Writes)]
    public void Mark()
    {
        foreach (long offset in _offsets)
        {
            _bitmaps.MarkWritten(offset, 4096);
        }
    }

    /// <summary>1,024 scattered marks, then a fold into every recording bitmap and a count.</summary>
    [Benchmark]
    public long MarkThenCount()
    {
        Mark();
        return _first is null ? 0 : _bitmaps.CountDirtyBytes(_first);
    }
}
