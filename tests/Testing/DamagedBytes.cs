namespace Testing;

/// <summary>Makes wrong input of right input.</summary>
public static class DamagedBytes
{
    /// <summary>The bytes with some changed, put in, taken out, doubled or repeated up to 2,000 times.</summary>
    public static byte[] Of(ReadOnlySpan<byte> request, Random random)
    {
        List<byte> bytes = [.. request];
        for (int i = random.Next(1, 8); i > 0; i--)
        {
            int at = random.Next(bytes.Count);
            byte value = random.Next(4) == 0 ? (byte)random.Next(256) : (byte)"{}[]:,\"'\\ 1e-.tfnu\n"[random.Next(19)];
            switch (random.Next(5))
            {
                case 0:
                    bytes[at] = value;
                    break;
                case 1:
                    bytes.Insert(at, value);
                    break;
                case 2 when bytes.Count > 1:
                    bytes.RemoveAt(at);
                    break;
                case 3:
                    bytes.InsertRange(at, Enumerable.Repeat(value, random.Next(1, 2000)));
                    break;
                default:
                    bytes.InsertRange(at, bytes.GetRange(at, Math.Min(random.Next(1, 30), bytes.Count - at)));
                    break;
            }
        }

        return [.. bytes];
    }
}
