namespace Unit.Jobs;

/// <summary>A guest that makes random writes through its door and keeps a twin of what its disk must hold.</summary>
internal sealed class WritingGuest(JobRoom room, int seed)
{
    private readonly Random _random = new(seed);

    public byte[] Expected { get; } = room.Source.Snapshot();

    public async Task WriteAsync(int count)
    {
        for (int i = 0; i < count; i++)
        {
            int offset = _random.Next(Expected.Length);
            int length = Math.Min(1 + _random.Next(_random.Next(8) == 0 ? 200_000 : 3000), Expected.Length - offset);
            if (_random.Next(6) == 0)
            {
                Expected.AsSpan(offset, length).Clear();
                await room.Guest.WriteZeroesAsync(offset, length).ConfigureAwait(false);
                continue;
            }

            byte[] bytes = new byte[length];
            _random.NextBytes(bytes);
            bytes.CopyTo(Expected, offset);
            await room.Guest.WriteAsync(offset, bytes).ConfigureAwait(false);
        }
    }

    public async Task WriteUntilAsync(CancellationToken stop)
    {
        await Task.Yield();
        while (!stop.IsCancellationRequested)
        {
            await WriteAsync(1).ConfigureAwait(false);
        }
    }
}
