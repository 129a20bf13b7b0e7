namespace Monitor.Block.Bitmaps;

/// <summary>Where a node's persistent bitmaps are kept: implemented by the image formats that can.</summary>
public interface IBitmapStore
{
    /// <summary>Whether a new persistent bitmap could be stored. Looks at memory only.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="granularity">Bytes per bit.</param>
    /// <returns>Null, or why not: the end of the client's error message.</returns>
    string? WhyNotStorable(string name, uint granularity);

    /// <summary>
    /// Removes a bitmap's entry from the image after it left memory, if there is one and no bitmap in memory claims the name again.
    /// </summary>
    /// <param name="name">Its name.</param>
    /// <exception cref="BlockIoException">The image could not be written; the entry stays, marked in use.</exception>
    ValueTask RemoveAsync(string name);
}
