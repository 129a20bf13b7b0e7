namespace Monitor.Block.Copy;

/// <summary>The ranges under way: two operations never work on overlapping ones. A short list, since few are under way at once.</summary>
public sealed class InFlightRanges
{
    private readonly Lock _lock = new();
    private readonly List<RangeClaim> _claims = [];
    private int _releases;

    /// <summary>How many claims have ended.</summary>
    public int Releases => Volatile.Read(ref _releases);

    /// <summary>Claims a range if no claim overlaps it.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="busyEnd">Where the claim in the way ends, if there is one.</param>
    /// <param name="busy">Completes when that claim is given back.</param>
    public RangeClaim? TryClaim(long offset, long length, out long busyEnd, out Task? busy)
    {
        lock (_lock)
        {
            if (FindOverlap(offset, length) is { } other)
            {
                busyEnd = other.End;
                busy = other.WhenEnded();
                return null;
            }

            busyEnd = 0;
            busy = null;
            var claim = new RangeClaim(offset, length);
            _claims.Add(claim);
            return claim;
        }
    }

    /// <summary>Claims a range, waiting for those that overlap it.</summary>
    public async ValueTask<RangeClaim> ClaimAsync(long offset, long length)
    {
        while (true)
        {
            if (TryClaim(offset, length, out _, out Task? busy) is { } claim)
            {
                return claim;
            }

            await busy!.ConfigureAwait(false);
        }
    }

    /// <summary>Whether a claim overlaps the range.</summary>
    public bool Overlaps(long offset, long length)
    {
        lock (_lock)
        {
            return FindOverlap(offset, length) is not null;
        }
    }

    /// <summary>Completes when every claim of this moment has ended.</summary>
    public Task WhenPresentEnded()
    {
        lock (_lock)
        {
            return _claims.Count == 0 ? Task.CompletedTask : Task.WhenAll(_claims.ConvertAll(claim => claim.WhenEnded()));
        }
    }

    /// <summary>Gives a claim back.</summary>
    public void Release(RangeClaim claim)
    {
        lock (_lock)
        {
            _claims.Remove(claim);
            _releases++;
            claim.SetEnded();
        }
    }

    private RangeClaim? FindOverlap(long offset, long length)
    {
        foreach (RangeClaim claim in _claims)
        {
            if (claim.Offset < offset + length && offset < claim.End)
            {
                return claim;
            }
        }

        return null;
    }
}
