using System.Reflection;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qapi;

public sealed class WireWordTests
{
    private static IEnumerable<Type> WireTypes() => typeof(JobStatusWire).Assembly.GetTypes().Where(type => type.GetMethod("ToWire") is not null);

    [TestCaseSource(nameof(WireTypes))]
    public void Every_enum_value_comes_back_from_its_word(Type wire)
    {
        MethodInfo toWire = wire.GetMethod("ToWire")!;
        MethodInfo tryParse = wire.GetMethod("TryParse")!;
        foreach (object value in Enum.GetValues(toWire.GetParameters()[0].ParameterType))
        {
            object?[] arguments = [toWire.Invoke(null, [value]), null];
            Assert.That(tryParse.Invoke(null, arguments), Is.True);
            Assert.That(arguments[1], Is.EqualTo(value));
        }
    }

    [TestCaseSource(nameof(WireTypes))]
    public void Another_word_is_no_value(Type wire) =>
        Assert.That(wire.GetMethod("TryParse")!.Invoke(null, ["no such word", null]), Is.False);

    [Test]
    public void Words_are_those_of_the_wire()
    {
        Assert.That(BlockdevDriver.NullCo.ToWire(), Is.EqualTo("null-co"));
        Assert.That(BlkdebugEvent.L1Update.ToWire(), Is.EqualTo("l1_update"));
        Assert.That(ShutdownCause.HostQmpQuit.ToWire(), Is.EqualTo("host-qmp-quit"));
    }
}
