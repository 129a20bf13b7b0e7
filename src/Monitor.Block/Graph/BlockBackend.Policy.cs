using System.Runtime.CompilerServices;

namespace Monitor.Block;

/// <summary>Requests at a door whose owner has a policy.</summary>
public sealed partial class BlockBackend
{
    /// <summary>What the owner adds to each request; <see langword="null"/> for nothing. Set before the first request.</summary>
    public IRequestPolicy? Policy { get; set; }

    /// <summary>Does a request until its policy lets it go; one that is done at once costs no memory.</summary>
    private ValueTask GovernAsync(BlockRequest request)
    {
        IRequestPolicy policy = Policy!;
        long started = BlockStatistics.Now;
        if (policy.WritesThrough && request.Kind == BlockRequestKind.Write)
        {
            request = request with { Flags = request.Flags | BlockWriteFlags.Fua };
        }

        ValueTask admission = policy.AdmitAsync(request.Kind, request.Length);
        if (!admission.IsCompletedSuccessfully)
        {
            return AdmitLaterAsync(admission, request, started);
        }

        ValueTask attempt = Attempt(request);
        if (!attempt.IsCompletedSuccessfully)
        {
            return GovernLaterAsync(attempt, request, started);
        }

        policy.CountDone(request.Kind, request.Length, started);
        return attempt;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask AdmitLaterAsync(ValueTask admission, BlockRequest request, long started)
    {
        await admission.ConfigureAwait(false);
        await GovernLaterAsync(Attempt(request), request, started).ConfigureAwait(false);
    }

    /// <summary>A failed attempt may be made again, long after, through a door re-pointed meanwhile.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask GovernLaterAsync(ValueTask attempt, BlockRequest request, long started)
    {
        IRequestPolicy policy = Policy!;
        while (true)
        {
            try
            {
                await attempt.ConfigureAwait(false);
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

            await policy.AdmitAsync(request.Kind, request.Length).ConfigureAwait(false);
            attempt = Attempt(request);
        }
    }

    private ValueTask Attempt(in BlockRequest request)
    {
        try
        {
            return DoOnceAsync(request);
        }
        catch (BlockIoException e)
        {
            return ValueTask.FromException(e);
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
