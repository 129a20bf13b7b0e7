namespace Monitor.Block.Drivers.Quorum;

/// <summary>Counts equal answers: which one most copies gave, and who gave another.</summary>
internal static class QuorumVote
{
    /// <summary>Finds the answer that most gave; of several with equal votes the one that came first.</summary>
    /// <param name="voters">Their numbers.</param>
    /// <param name="areEqual">Whether two voters gave the same answer.</param>
    /// <returns>One who gave it, and all who did.</returns>
    public static (int Winner, List<int> Votes) Count(IReadOnlyList<int> voters, Func<int, int, bool> areEqual)
    {
        var versions = new List<List<int>>();
        foreach (int voter in voters)
        {
            if (versions.Find(version => areEqual(version[0], voter)) is { } same)
            {
                same.Add(voter);
            }
            else
            {
                versions.Add([voter]);
            }
        }

        List<int> winner = versions[0];
        foreach (List<int> version in versions)
        {
            winner = version.Count > winner.Count ? version : winner;
        }

        return (winner[0], winner);
    }
}
