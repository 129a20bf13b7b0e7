using System.Text;
using Monitor.Qapi;
using Monitor.Qapi.Json;
using NUnit.Framework;

namespace Unit.Qapi;

/// <summary>What the parser says of a byte stream; the expected texts were taken from qemu-storage-daemon 7.2.</summary>
public sealed class JsonStreamParserTests
{
    [TestCase("{'a': 'b\"c\\''}", "{\"a\": \"b\\\"c'\"}")]
    [TestCase("[1, -0, 1.5, 1e400, 123456789012345678901234567890, true, false, null]", "[1, -0, 1.5, 1e400, 123456789012345678901234567890, true, false, null]")]
    [TestCase("\"\\u00e9\\ud83d\\ude00é\"", "\"\\u00E9\\uD83D\\uDE00\\u00E9\"")]
    [TestCase("\"/\\b\\f\\n\\r\\t\\\\ \u007f\\u0000\"", "\"/\\b\\f\\n\\r\\t\\\\ \\u007F\\u0000\"")]
    [TestCase("{\"a\": {}, \"b\": []}", "{\"a\": {}, \"b\": []}")]
    public void A_value_is_written_back_as_QEMU_echoes_it(string text, string echo) =>
        Assert.That(Read(Encoding.UTF8.GetBytes(text)), Is.EqualTo(new[] { echo }));

    [TestCase("{\"execute\" \"x\"}", "missing : in object pair")]
    [TestCase("{\"execute\":}", "expecting value")]
    [TestCase("}", "expecting value")]
    [TestCase("{,}", "expecting value")]
    [TestCase("[1,]", "expecting value")]
    [TestCase("{\"a\":1,}", "expecting value")]
    [TestCase("foo\n", "invalid keyword 'foo'")]
    [TestCase("{\"x\":tru}", "invalid keyword 'tru'")]
    [TestCase("{\"a\":1,\"a\":2}", "duplicate key")]
    [TestCase("{\"a\":1,\"a\":foo}", "invalid keyword 'foo'")]
    [TestCase("{1:2}", "key is not a string in object")]
    [TestCase("{true:1}", "key is not a string in object")]
    [TestCase("{foo:1}", "invalid keyword 'foo'")]
    [TestCase("{[foo]:1}", "invalid keyword 'foo'")]
    [TestCase("{[1]:foo}", "key is not a string in object")]
    [TestCase("{{\"a\":1}:2}", "key is not a string in object")]
    [TestCase("{\"a\":1 \"b\":2}", "expected separator in dict")]
    [TestCase("{\"a\":1]", "expected separator in dict")]
    [TestCase("[0e5]", "expected separator in list")]
    [TestCase("[1\"a\"]", "expected separator in list")]
    [TestCase("\"\\q\"", "invalid escape sequence in string")]
    [TestCase("\"\\ud800\\u0041\"", "\\ud800 is not a valid Unicode character")]
    [TestCase("\"\\ud83d\\ude0\"", "\\ud83d is not a valid Unicode character")]
    [TestCase("\"\\uDBFF\\uDFFF\"", "\\uDBFF\\uDFFF is not a valid Unicode character")]
    [TestCase("\"\\u12xyz\"", "\\u12xy is not a valid Unicode character")]
    [TestCase("\"\\u12\"", "\\u12\" is not a valid Unicode character")]
    [TestCase("\"\\uffff\"", "\\uffff is not a valid Unicode character")]
    [TestCase("%", "stray '%'")]
    [TestCase("-\n", "stray '-\n'")]
    [TestCase("\"abc\n", "stray '\"abc\n'")]
    [TestCase("{\"a\": 1.}", "stray '1.}'")]
    [TestCase("\0", "stray ''")]
    public void Bad_text_is_one_error_worded_as_QEMU_words_it(string text, string error) =>
        Assert.That(Read(Encoding.UTF8.GetBytes(text)), Is.EqualTo(new[] { "JSON parse error, " + error }));

    [TestCase("ff", "stray '\"\uFFFD'")]
    [TestCase("80", "invalid UTF-8 sequence in string")]
    [TestCase("eda080", "invalid UTF-8 sequence in string")]
    [TestCase("efbfbf", "invalid UTF-8 sequence in string")]
    [TestCase("f4908080", "invalid UTF-8 sequence in string")]
    [TestCase("c3", "invalid UTF-8 sequence in string")]
    public void Bad_UTF8_in_a_string_is_refused(string hex, string error) =>
        Assert.That(Read([(byte)'"', .. Convert.FromHexString(hex), (byte)'"'])[0], Is.EqualTo("JSON parse error, " + error));

    [Test]
    public void The_two_byte_form_of_NUL_is_accepted() =>
        Assert.That(Read([(byte)'"', 0xC0, 0x80, (byte)'"']), Is.EqualTo(new[] { "\"\\u0000\"" }));

    [TestCase("}{}", "JSON parse error, expecting value|{}")]
    [TestCase("{\"a\"}}{}", "JSON parse error, missing : in object pair|JSON parse error, expecting value|{}")]
    [TestCase("{\"a\" \"b\" [{}]}{}", "JSON parse error, missing : in object pair|{}")]
    [TestCase("[[[\u0001{}", "JSON parse error, stray '\u0001'|{}")]
    [TestCase("{\"a\n {}", "JSON parse error, stray '\"a\n'|{}")]
    [TestCase("{\"a\": %s}{}", "JSON parse error, stray '%'|JSON parse error, expecting value|{}")]
    [TestCase("{\"a\": 01}", "JSON parse error, stray '01'|JSON parse error, expecting value")]
    [TestCase("a-b\n", "JSON parse error, invalid keyword 'a'|JSON parse error, stray '-b'")]
    [TestCase("{\"a\":[}  {}", "")]
    [TestCase("{}{}1 \"x\"", "{}|{}|1|\"x\"")]
    public void After_an_error_sense_begins_where_QEMU_finds_it(string text, string results) =>
        Assert.That(string.Join('|', Read(Encoding.UTF8.GetBytes(text))), Is.EqualTo(results));

    [Test]
    public void Every_split_gives_the_same_results()
    {
        byte[] text = Encoding.UTF8.GetBytes("{\"a\\u00e9\": [1.5e3, true, 'x\\'é']} nul {\"b\" 1} \"\\ud800\" -x\n{\"c\": -12} 7 ");
        var whole = Read(text);
        for (int split = 1; split < text.Length; split++)
        {
            Assert.That(Read(text[..split], text[split..]), Is.EqualTo(whole), $"split at {split}");
        }

        Assert.That(Read([.. text.Select(b => new[] { b })]), Is.EqualTo(whole));
    }

    [Test]
    public void Random_bytes_give_the_same_results_whole_and_in_pieces([Range(1, 5)] int seed)
    {
        const string Alphabet = "{}[]:,\"'\\ \n\ttruefalsn0123456789-+.eE%u\u0001é\0";
        byte[] alphabet = [.. Encoding.UTF8.GetBytes(Alphabet), 0xFF, 0xC0];
        var random = new Random(seed);
        for (int round = 0; round < 1000; round++)
        {
            byte[] text = random.GetItems(alphabet, random.Next(1, 40));
            int split = random.Next(text.Length + 1);
            Assert.That(Read(text[..split], text[split..]), Is.EqualTo(Read(text)), $"seed {seed}: {Convert.ToHexString(text)} at {split}");
        }
    }

    [Test]
    public void Nesting_is_limited_to_1024()
    {
        Assert.That(Read(Encoding.ASCII.GetBytes(new string('[', 1024) + new string(']', 1024))), Has.Count.EqualTo(1));
        Assert.That(Read(Encoding.ASCII.GetBytes(new string('[', 1025))), Is.EqualTo(new[] { "JSON nesting depth limit exceeded" }));
    }

    [Test]
    public void Tokens_are_limited_to_two_to_the_21()
    {
        byte[] text = Encoding.ASCII.GetBytes("[" + string.Concat(Enumerable.Repeat("1,", 1 << 20)) + "1]");
        Assert.That(Read(text), Is.EqualTo(new[] { "JSON token count limit exceeded", "1", "JSON parse error, expecting value" }));
    }

    /// <summary>As qemu-storage-daemon 7.2 was seen to do (its reading of 64 MiB takes six minutes).</summary>
    [Test]
    public void A_token_beyond_64_MiB_is_cut_off_at_the_limit_and_the_rest_read_as_something_new([Values] bool isInPieces)
    {
        byte[] text = Encoding.ASCII.GetBytes("{\"execute\":\"" + new string('a', (64 << 20) + 10) + "\"}\n{}");
        string[] expected = ["JSON token size limit exceeded", "JSON parse error, invalid keyword 'aaaaaaaaaa'", "JSON parse error, stray '\"}\n'", "{}"];
        var parser = new JsonStreamParser();
        var results = new List<string>();
        int length = isInPieces ? 64 << 10 : text.Length;
        for (int start = 0; start < text.Length; start += length)
        {
            int position = 0;
            ReadOnlySpan<byte> piece = text.AsSpan(start, Math.Min(length, text.Length - start));
            while (parser.TryRead(piece, ref position, out string? error))
            {
                results.Add(error ?? Echo(parser.Tape));
            }
        }

        Assert.That(results, Is.EqualTo(expected));
    }

    [Test]
    public void Token_text_is_limited_to_64_MiB()
    {
        byte[] text = new byte[(64 << 20) + 2];
        Array.Fill(text, (byte)'a');
        text[0] = (byte)'"';
        text[^1] = (byte)'"';
        Assert.That(Read(text), Is.EqualTo(new[] { "JSON token size limit exceeded" }));
    }

    [Test]
    public void A_dict_of_many_members_is_checked_for_duplicates()
    {
        string members = string.Join(",", Enumerable.Range(0, 100).Select(i => $"\"k{i}\":{{\"k{i}\":0}}"));
        Assert.That(Read(Encoding.ASCII.GetBytes("{" + members + "}"))[0], Does.StartWith("{\"k0\""));
        foreach (int repeated in new[] { 0, 7, 8, 9, 99 })
        {
            byte[] text = Encoding.ASCII.GetBytes("{" + members + $",\"k{repeated}\":1}}");
            Assert.That(Read(text), Is.EqualTo(new[] { "JSON parse error, duplicate key" }), $"k{repeated}");
        }
    }

    [TestCase("{", "JSON parse error, premature EOI")]
    [TestCase("{\"a\":\"x", "JSON parse error, stray '\"x'")]
    [TestCase("{} {}", "Expecting at most one JSON value")]
    [TestCase("{\"a\":nul", "JSON parse error, invalid keyword 'nul'")]
    public void A_whole_text_must_be_one_value(string text, string error)
    {
        var exception = Assert.Throws<QmpException>(() => JsonStreamParser.Parse(Encoding.UTF8.GetBytes(text)));
        Assert.That(exception.Message, Is.EqualTo(error));
    }

    [Test]
    public void A_whole_text_may_end_in_a_number() =>
        Assert.That(JsonStreamParser.Parse(" 5"u8).StringOf(0), Is.EqualTo("5"));

    private static List<string> Read(params byte[][] chunks)
    {
        var parser = new JsonStreamParser();
        var results = new List<string>();
        foreach (byte[] chunk in chunks)
        {
            int position = 0;
            while (parser.TryRead(chunk, ref position, out string? error))
            {
                results.Add(error ?? Echo(parser.Tape));
            }
        }

        return results;
    }

    private static string Echo(JsonTape tape)
    {
        var writer = new JsonWriter();
        tape.WriteValue(0, writer);
        return writer.ToString();
    }
}
