using System.Text;
using System.Text.Json.Nodes;
using Monitor.Qapi.Json;
using NUnit.Framework;

namespace Unit.Qapi;

public sealed class JsonWriterTests
{
    [Test]
    public void Values_are_spaced_and_separated_as_QEMU_does()
    {
        var writer = new JsonWriter();
        writer.WriteStartObject();
        writer.WriteName("\"a\": "u8);
        writer.WriteStartArray();
        writer.WriteNumber(7L);
        writer.WriteNumber(-12345678901L);
        writer.WriteNumber(ulong.MaxValue);
        writer.WriteNumber(0.5);
        writer.WriteNull();
        writer.WriteStartObject();
        writer.WriteEndObject();
        writer.WriteEndArray();
        writer.WriteName("b");
        writer.WriteBoolean(true);
        writer.WriteName("\"c\": "u8);
        writer.WriteRaw("[]"u8);
        writer.WriteEndObject();
        Assert.That(writer.ToString(), Is.EqualTo("""{"a": [7, -12345678901, 18446744073709551615, 0.5, null, {}], "b": true, "c": []}"""));
    }

    [TestCase("plain", "\"plain\"")]
    [TestCase("\"\\\b\f\n\r\t/", "\"\\\"\\\\\\b\\f\\n\\r\\t/\"")]
    [TestCase("\u0000\u001F\u007Fé", "\"\\u0000\\u001F\\u007F\\u00E9\"")]
    [TestCase("😀", "\"\\uD83D\\uDE00\"")]
    public void Strings_are_ASCII_whichever_way_they_come(string text, string json)
    {
        var writer = new JsonWriter();
        writer.WriteString(text);
        Assert.That(writer.ToString(), Is.EqualTo(json));
        writer.Clear();
        writer.WriteString(Encoding.UTF8.GetBytes(text));
        Assert.That(writer.ToString(), Is.EqualTo(json));
    }

    [Test]
    public void Half_a_pair_becomes_the_replacement_character()
    {
        var writer = new JsonWriter();
        writer.WriteStartArray();
        writer.WriteString("\uD83D");
        writer.WriteString("\uDE00x");
        writer.WriteString("\uD83D\uD83D\uDE00");
        writer.WriteEndArray();
        Assert.That(writer.ToString(), Is.EqualTo("""["\uFFFD", "\uFFFDx", "\uFFFD\uD83D\uDE00"]"""));
    }

    [Test]
    public void Random_strings_are_read_back_as_they_were([Range(1, 4)] int seed)
    {
        var random = new Random(seed);
        var writer = new JsonWriter();
        for (int round = 0; round < 500; round++)
        {
            var text = new StringBuilder();
            for (int i = random.Next(40); i > 0; i--)
            {
                text.Append(new Rune(random.Next(3) == 0 ? random.Next(0x10000, 0x110000) : random.Next(0xD800)));
            }

            writer.Clear();
            writer.WriteString(text.ToString());
            Assert.That((string?)JsonNode.Parse(writer.Written), Is.EqualTo(text.ToString()), $"seed {seed} round {round}");
        }
    }
}
