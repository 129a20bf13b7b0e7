namespace Monitor.Qapi;

/// <summary>What kind of refusal an error is, in a word that programs can act on (<c>schema/error.json</c>).</summary>
/// <remarks>QEMU's class is nearly always <c>GenericError</c>, and its descriptions are interface: the schema says which of them are of
/// one kind. So no place that refuses something needs to know the codes.</remarks>
public static class QmpErrorCode
{
    /// <summary>The code of an error.</summary>
    /// <param name="description">The error's <c>desc</c>.</param>
    public static string Of(string description)
    {
        foreach ((string code, string text) in QapiErrors.All)
        {
            if (Fits(description, text))
            {
                return code;
            }
        }

        throw new InvalidOperationException("the last text of the schema's errors fits everything");
    }

    /// <summary>Whether a description has the parts between the stars, in that order.</summary>
    private static bool Fits(ReadOnlySpan<char> description, ReadOnlySpan<char> text)
    {
        int star = text.IndexOf('*');
        if (star < 0 || !description.StartsWith(text[..star], StringComparison.Ordinal))
        {
            return star < 0 && description.SequenceEqual(text);
        }

        description = description[star..];
        text = text[(star + 1)..];
        for (star = text.IndexOf('*'); star >= 0; star = text.IndexOf('*'))
        {
            int found = description.IndexOf(text[..star], StringComparison.Ordinal);
            if (found < 0)
            {
                return false;
            }

            description = description[(found + star)..];
            text = text[(star + 1)..];
        }

        return description.EndsWith(text, StringComparison.Ordinal);
    }
}
