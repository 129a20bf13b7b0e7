using System.Runtime.CompilerServices;

namespace Monitor.Block;

/// <summary>Requests at a door whose owner has a policy.</summary>
public sealed partial class BlockBackend
{
    /// <summary>What the owner adds to each request; <see langword="null"/> for nothing. Set before the first request.</summary>
    public IRequestPolicy? Policy { get; set; }

    /// <summary>Does a request until its policy lets it go: a failed one may be done again, long after, through a door re-pointed meanwhile.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask GovernAsync(BlockRequest request)
    {
        IRequestPolicy policy = Policy!;
        long started = BlockStatistics.Now;
        if (policy.WritesThrough && request.Kind == BlockRequestKind.Write)
        {
            request = request with { Flags = request.Flags | BlockWriteFlags.Fua };
        }

        while (true)
        {
            await policy.AdmitAsync(request.Kind, request.Length).ConfigureAwait(false);
            try
            {
                await DoOnceAsync(request).ConfigureAwait(false);
                policy.CountDone(request.Kind, request.Length, started);
                return;
            }
            catch (BlockIoException e)
            {
                if (Refusal(request.Kind, request.Offset, request.Length) != 0)
                {
                    policy.CountInvalid(request.Kind);
                    throw;
                }

                switch (await policy.DecideAsync(request.Kind, e).ConfigureAwait(false))
                {
                    case FailedRequestFate.Ignore:
                        policy.CountDone(request.Kind, request.Length, started);
                        return;
                    case FailedRequestFate.Report:
                        policy.CountFailed(request.Kind, started);
                        throw;
                }
            }
        }
    }

    private ValueTask DoOnceAsync(in BlockRequest request) => request.Kind switch
    {
        BlockRequestKind.Read => ReadOnceAsync(request.Offset, request.Target),
        BlockRequestKind.Flush => FlushOnceAsync(),
        BlockRequestKind.Unmap => DiscardOnceAsync(request.Offset, request.Length),
        _ => request.IsZeroes
            ? WriteZeroesOnceAsync(request.Offset, request.Length, request.Flags)
            : WriteOnceAsync(request.Offset, request.Source, request.Flags),
    };
}
