using BenchmarkDotNet.Attributes;
using Monitor.Block.Bitmaps;

namespace Benchmarks.Micro;

/// <summary>What moving the bits of 64 bitmaps costs: 1 TiB at 64 KiB each, every leaf of 4,096 granules in use.</summary>
[MemoryDiagnoser]
public class BitmapContentBenchmarks
{
    private const long SizeBytes = 1L << 40;
    private const int Bitmaps = 64;
    private const int Writes = 192_000;
    private readonly HierarchicalBitmap[] _bitmaps = new HierarchicalBitmap[Bitmaps];
    private readonly byte[][] _data = new byte[Bitmaps][];

    /// <summary>How many of the bitmaps recorded writes of their own; the others are copies.</summary>
    [Params(1, Bitmaps)]
    public int Histories { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        var random = new Random(3);
        for (int i = 0; i < Bitmaps; i++)
        {
            _bitmaps[i] = i < Histories ? new HierarchicalBitmap(SizeBytes, 65536) : _bitmaps[i % Histories].Clone();
            for (int write = 0; i < Histories && write < Writes / Histories; write++)
            {
                _bitmaps[i].Set(random.NextInt64(SizeBytes), 4096);
            }

            _data[i] = new byte[_bitmaps[i].DataLength];
            _bitmaps[i].ReadData(0, _data[i]);
        }
    }

    /// <summary>All into a clean one.</summary>
    [Benchmark]
    public long Merge()
    {
        var sum = new HierarchicalBitmap(SizeBytes, 65536);
        foreach (HierarchicalBitmap bitmap in _bitmaps)
        {
            sum.Merge(bitmap);
        }

        return sum.DirtyBytes;
    }

    /// <summary>A copy of each.</summary>
    [Benchmark]
    public void Clone()
    {
        foreach (HierarchicalBitmap bitmap in _bitmaps)
        {
            _ = bitmap.Clone();
        }
    }

    /// <summary>Bitmap data from each, as for a store.</summary>
    [Benchmark]
    public void ReadData()
    {
        for (int i = 0; i < Bitmaps; i++)
        {
            _bitmaps[i].ReadData(0, _data[i]);
        }
    }

    /// <summary>Each from bitmap data, as at a load.</summary>
    [Benchmark]
    public void WriteData()
    {
        HierarchicalBitmap? last = null;
        foreach (byte[] data in _data)
        {
            var bitmap = new HierarchicalBitmap(SizeBytes, 65536);
            bitmap.WriteData(0, data, last);
            last = bitmap;
        }
    }

    /// <summary>Every dirty area of one.</summary>
    [Benchmark]
    public long Map()
    {
        long areas = 0;
        for (long at = 0; _bitmaps[0].NextDirtyArea(at, SizeBytes, long.MaxValue, out long offset, out long length); at = offset + length)
        {
            areas++;
        }

        return areas;
    }

    /// <summary>The hash of one.</summary>
    [Benchmark]
    public string Hash() => _bitmaps[0].Sha256();
}
