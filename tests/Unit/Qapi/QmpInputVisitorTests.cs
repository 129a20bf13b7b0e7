using Monitor.Qapi;
using Monitor.Qapi.Json;
using NUnit.Framework;

namespace Unit.Qapi;

/// <summary>The argument errors; the expected texts were taken from qemu-storage-daemon 7.2.</summary>
public sealed class QmpInputVisitorTests
{
    [Test]
    public void Members_are_read_in_schema_order_whatever_their_order_on_the_wire()
    {
        var v = QmpInputVisitor.Parse("{\"sizes\": [1, 2], \"name\": \"n\\u00e9\", \"on\": true, \"x\": null, \"f\": 0.5}");
        v.StartStruct(null);
        Assert.That(v.ReadString("name"), Is.EqualTo("né"));
        Assert.That(v.HasMember("missing"), Is.False);
        Assert.That(v.HasMember("sizes"), Is.True);
        v.StartList("sizes");
        var sizes = new List<long>();
        while (v.NextItem())
        {
            sizes.Add(v.ReadInt64(null));
        }

        v.EndList();
        Assert.That(sizes, Is.EqualTo(new long[] { 1, 2 }));
        Assert.That(v.ReadBool("on"), Is.True);
        v.ReadNull("x");
        Assert.That(v.ReadNumber("f"), Is.EqualTo(0.5));
        v.CheckStruct();
        v.EndStruct();
    }

    [Test]
    public void A_missing_member_is_named_by_its_path() =>
        AssertError("{\"addr\": {\"type\": \"unix\"}}", "Parameter 'addr.data' is missing", v => In(v, "addr", () => v.StartStruct("data")));

    [Test]
    public void An_unexpected_member_is_named_by_its_path() =>
        AssertError("{\"file\": {\"x\": 1}}", "Parameter 'file.x' is unexpected", v => In(v, "file", v.CheckStruct));

    [Test]
    public void A_wrong_type_inside_lists_is_named_by_its_path() =>
        AssertError("{\"actions\": [{\"data\": {\"name\": 5}}]}", "Invalid parameter type for 'actions[0].data.name', expected: string", v =>
        {
            v.StartStruct(null);
            v.StartList("actions");
            v.NextItem();
            v.StartStruct(null);
            v.StartStruct("data");
            v.ReadString("name");
        });

    [Test]
    public void An_item_of_a_wrong_type_is_named_by_its_index() =>
        AssertError("{\"a\": [[0], [0, {}]]}", "Invalid parameter type for 'a[1][1]', expected: string", v =>
        {
            v.StartStruct(null);
            v.StartList("a");
            v.NextItem();
            v.NextItem();
            v.StartList(null);
            v.NextItem();
            v.NextItem();
            v.ReadString(null);
        });

    [TestCase("4294967296", "Parameter 'g' expects uint32_t")]
    [TestCase("-1", "Parameter 'g' expects uint32_t")]
    [TestCase("1.0", "Parameter 'g' expects uint64")]
    [TestCase("\"5\"", "Parameter 'g' expects uint64")]
    [TestCase("18446744073709551616", "Parameter 'g' expects uint64")]
    public void An_unsigned_member_says_what_it_expects(string value, string error) =>
        AssertError($"{{\"g\": {value}}}", error, v => At(v, () => v.ReadUInt32("g")));

    [TestCase("1.0")]
    [TestCase("1e400")]
    [TestCase("9223372036854775808")]
    [TestCase("\"5\"")]
    [TestCase("[]")]
    public void A_signed_member_expects_an_integer(string value) =>
        AssertError($"{{\"g\": {value}}}", "Invalid parameter type for 'g', expected: integer", v => At(v, () => v.ReadInt64("g")));

    [Test]
    public void A_negative_unsigned_value_wraps_as_in_QEMU()
    {
        var v = QmpInputVisitor.Parse("[-1, 18446744073709551615, -0]");
        v.StartList(null);
        v.NextItem();
        Assert.That(v.ReadUInt64(null), Is.EqualTo(ulong.MaxValue));
        v.NextItem();
        Assert.That(v.ReadSize(null), Is.EqualTo(ulong.MaxValue));
        v.NextItem();
        Assert.That(v.ReadInt64(null), Is.Zero);
        Assert.That(v.NextItem(), Is.False);
    }

    [Test]
    public void Small_integers_are_checked_for_range()
    {
        AssertError("[128]", "Parameter 'null' expects int8_t", v => First(v, () => v.ReadInt8(null)));
        AssertError("[-32769]", "Parameter 'null' expects int16_t", v => First(v, () => v.ReadInt16(null)));
        AssertError("[2147483648]", "Parameter 'null' expects int32_t", v => First(v, () => v.ReadInt32(null)));
        AssertError("[256]", "Parameter 'null' expects uint8_t", v => First(v, () => v.ReadUInt8(null)));
        AssertError("[70000]", "Parameter 'null' expects uint16_t", v => First(v, () => v.ReadUInt16(null)));
    }

    [Test]
    public void Every_other_wrong_type_says_what_was_expected()
    {
        AssertError("{\"a\":1}", "Invalid parameter type for 'a', expected: object", v => At(v, () => v.StartStruct("a")));
        AssertError("{\"a\":1}", "Invalid parameter type for 'a', expected: array", v => At(v, () => v.StartList("a")));
        AssertError("{\"a\":1}", "Invalid parameter type for 'a', expected: boolean", v => At(v, () => v.ReadBool("a")));
        AssertError("{\"a\":1}", "Invalid parameter type for 'a', expected: null", v => At(v, () => v.ReadNull("a")));
        AssertError("{\"a\":\"\"}", "Invalid parameter type for 'a', expected: number", v => At(v, () => v.ReadNumber("a")));
    }

    [Test]
    public void An_enum_or_alternate_error_gives_the_members_own_name()
    {
        var v = QmpInputVisitor.Parse("{}");
        Assert.That(v.InvalidEnum("driver", "nodrv").Message, Is.EqualTo("Parameter 'driver' does not accept value 'nodrv'"));
        Assert.That(v.InvalidEnum(null, "x").Message, Is.EqualTo("Parameter 'null' does not accept value 'x'"));
        Assert.That(v.InvalidAlternate("file", "BlockdevRef").Message, Is.EqualTo("Invalid parameter type for 'file', expected: BlockdevRef"));
    }

    [TestCase("null", QmpValueKind.Null)]
    [TestCase("false", QmpValueKind.Bool)]
    [TestCase("-1.5", QmpValueKind.Number)]
    [TestCase("\"\"", QmpValueKind.String)]
    [TestCase("[]", QmpValueKind.List)]
    [TestCase("{}", QmpValueKind.Dict)]
    public void An_alternate_sees_the_kind_of_its_value(string json, QmpValueKind kind) =>
        Assert.That(QmpInputVisitor.Parse(json).PeekKind(null), Is.EqualTo(kind));

    [Test]
    public void A_value_of_any_type_is_written_back_as_it_was()
    {
        const string Json = "{\"a\": [1, -2.50, 1e400, true, false, null, \"x\\ny\", {}], \"b\": {\"c\": []}}";
        var v = QmpInputVisitor.Parse($"{{\"value\": {Json}}}");
        v.StartStruct(null);
        var value = QmpValue.Read(v, "value");
        v.CheckStruct();
        var writer = new JsonWriter();
        value.Write(writer);
        Assert.That(writer.ToString(), Is.EqualTo(Json));
    }

    private static void At(QmpInputVisitor v, Action read)
    {
        v.StartStruct(null);
        read();
    }

    private static void First(QmpInputVisitor v, Action read)
    {
        v.StartList(null);
        v.NextItem();
        read();
    }

    private static void In(QmpInputVisitor v, string name, Action read)
    {
        v.StartStruct(null);
        v.StartStruct(name);
        if (v.HasMember("type"))
        {
            v.ReadString("type");
        }

        read();
    }

    private static void AssertError(string json, string error, Action<QmpInputVisitor> read)
    {
        var exception = Assert.Throws<QmpException>(() => read(QmpInputVisitor.Parse(json)));
        Assert.That(exception.Message, Is.EqualTo(error));
        Assert.That(exception.ErrorClass, Is.EqualTo(QmpErrorClass.GenericError));
    }
}
