namespace Monitor.Block.Bitmaps;

/// <summary>Where a node's persistent bitmaps are kept: implemented by the image formats that can.</summary>
public interface IBitmapStore
{
    /// <summary>Whether a new persistent bitmap could be stored. Looks at memory only.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="granularity">Bytes per bit.</param>
    /// <returns>Null, or why not: the end of the client's error message.</returns>
    string? WhyNotStorable(string name, uint granularity);

    /// <summary>Removes from the image what left memory, all of it at once: the end of one removal or of several.</summary>
    /// <exception cref="BlockIoException">The image could not be written; the entries stay, marked in use.</exception>
    ValueTask RemoveGoneAsync();
}
