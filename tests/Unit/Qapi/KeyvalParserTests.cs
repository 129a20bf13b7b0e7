using Monitor.Qapi;
using Monitor.Qapi.Json;
using Monitor.Qapi.Keyval;
using NUnit.Framework;

namespace Unit.Qapi;

/// <summary>The command line's <c>key=value</c> form; the expected errors were taken from qemu-storage-daemon 7.2.</summary>
public sealed class KeyvalParserTests
{
    [TestCase("", "{}")]
    [TestCase("qcow2,file.driver=file,file.filename=/x,,y", "{\"driver\": \"qcow2\", \"file\": {\"driver\": \"file\", \"filename\": \"/x,y\"}}")]
    [TestCase("driver=a,driver=b,", "{\"driver\": \"b\"}")]
    [TestCase("a.1=y,a.0=x,a.00=z", "{\"a\": [\"z\", \"y\"]}")]
    [TestCase("a.0.b=1,a.0.c=2", "{\"a\": [{\"b\": \"1\", \"c\": \"2\"}]}")]
    [TestCase("__org.x_y.z=1", "{\"__org.x_y\": {\"z\": \"1\"}}")]
    [TestCase("a=b=c", "{\"a\": \"b=c\"}")]
    [TestCase("a=", "{\"a\": \"\"}")]
    [TestCase("{'a': [1]}", "{\"a\": [1]}")]
    public void A_text_becomes_a_tree(string text, string json) =>
        Assert.That(Write(KeyvalParser.Parse(text, "driver")), Is.EqualTo(json));

    [TestCase("=x", "Invalid parameter ''")]
    [TestCase(",null-co", "Invalid parameter ''")]
    [TestCase("null-co,,", "Invalid parameter ''")]
    [TestCase("null-co,x", "Expected '=' after parameter 'x'")]
    [TestCase("a..b=1", "Invalid parameter 'a..b'")]
    [TestCase(".a=1", "Invalid parameter '.a'")]
    [TestCase("a.=1", "Invalid parameter 'a.'")]
    [TestCase("1a=2", "Invalid parameter '1a'")]
    [TestCase("0=x", "Invalid parameter '0'")]
    [TestCase("a b=1", "Invalid parameter 'a b'")]
    [TestCase("a.-b=1", "Invalid parameter 'a.-b'")]
    [TestCase("a.0=1,a.2=3", "Parameter 'a.1' missing")]
    [TestCase("a.99999999999=1", "Parameter 'a.0' missing")]
    [TestCase("a.0=1,a.x=2", "Parameters 'a.*' used inconsistently")]
    [TestCase("a=1,a.b=2", "Parameters 'a.*' used inconsistently")]
    [TestCase("a.b=1,a=2", "Parameters 'a.*' used inconsistently")]
    [TestCase("x,help", "Help is not available for this option")]
    public void A_malformed_text_is_refused(string text, string error)
    {
        var exception = Assert.Throws<QmpException>(() => KeyvalParser.Parse(text, "driver"));
        Assert.That(exception!.Message, Is.EqualTo(error));
    }

    [Test]
    public void A_first_value_without_a_key_needs_an_implied_one()
    {
        var exception = Assert.Throws<QmpException>(() => KeyvalParser.Parse("x", null));
        Assert.That(exception!.Message, Is.EqualTo("Expected '=' after parameter 'x'"));
    }

    [TestCase("5", 5)]
    [TestCase(" +0x10", 16)]
    [TestCase("010", 8)]
    [TestCase("-9223372036854775808", long.MinValue)]
    public void An_integer_is_read_as_C_reads_it(string text, long value) =>
        Assert.That(At(text).ReadInt64("a"), Is.EqualTo(value));

    [TestCase("")]
    [TestCase("1k")]
    [TestCase("08")]
    [TestCase("9223372036854775808")]
    public void What_is_no_integer_is_refused(string text) =>
        Assert.That(Assert.Throws<QmpException>(() => At(text).ReadInt64("a"))!.Message, Is.EqualTo("Parameter 'a' expects integer"));

    [Test]
    public void A_negative_unsigned_integer_wraps() => Assert.That(At("-1").ReadUInt64("a"), Is.EqualTo(ulong.MaxValue));

    [TestCase("1.5k", 1536UL)]
    [TestCase("7b", 7UL)]
    [TestCase("1.k", 1024UL)]
    [TestCase("0x10", 16UL)]
    [TestCase(" +2G", 2UL << 30)]
    [TestCase("7.5E", 8646911284551352320UL)]
    public void A_size_may_have_a_suffix(string text, ulong bytes) => Assert.That(At(text).ReadSize("a"), Is.EqualTo(bytes));

    [TestCase("")]
    [TestCase("zz")]
    [TestCase("-1")]
    [TestCase("1kb")]
    [TestCase("1e3")]
    [TestCase(".5M")]
    [TestCase("1.5")]
    [TestCase("16E")]
    [TestCase("99999999999999999999")]
    public void What_is_no_size_is_refused(string text) =>
        Assert.That(Assert.Throws<QmpException>(() => At(text).ReadSize("a"))!.Message, Is.EqualTo("Parameter 'a' expects a size value"));

    [TestCase("on", true)]
    [TestCase("y", true)]
    [TestCase("off", false)]
    [TestCase("no", false)]
    public void A_switch_has_several_words(string text, bool value) => Assert.That(At(text).ReadBool("a"), Is.EqualTo(value));

    [Test]
    public void Another_word_is_no_switch() =>
        Assert.That(Assert.Throws<QmpException>(() => At("TRUE").ReadBool("a"))!.Message, Is.EqualTo("Parameter 'a' expects 'on' or 'off'"));

    [Test]
    public void A_scalar_where_a_struct_belongs_is_refused() =>
        Assert.That(
            Assert.Throws<QmpException>(() => At("x").StartStruct("a"))!.Message,
            Is.EqualTo("Invalid parameter type for 'a', expected: object"));

    private static QmpInputVisitor At(string value)
    {
        var v = KeyvalParser.Parse($"a={value}", null);
        v.StartStruct(null);
        return v;
    }

    private static string Write(QmpInputVisitor v)
    {
        var writer = new JsonWriter();
        QmpValue.Read(v, null).Write(writer);
        return writer.ToString();
    }
}
