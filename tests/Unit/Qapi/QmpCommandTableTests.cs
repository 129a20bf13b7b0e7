using System.Text;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qapi;

public sealed class QmpCommandTableTests
{
    [TestCase(1)]
    [TestCase(127)]
    [TestCase(1000)]
    public void Every_command_is_found_and_nothing_else(int count)
    {
        var table = new QmpCommandTable();
        for (int i = 0; i < count; i++)
        {
            table.Add(Command($"command-{i}"));
        }

        for (int i = 0; i < count; i++)
        {
            string name = $"command-{i}";
            Assert.That(table.TryGet(Encoding.UTF8.GetBytes(name), out QmpCommand? found), Is.True, name);
            Assert.That(found!.Name, Is.EqualTo(name));
        }

        Assert.That(table.TryGet("command-"u8, out _), Is.False);
        Assert.That(table.TryGet(""u8, out _), Is.False);
        Assert.That(table.All, Has.Count.EqualTo(count));
    }

    [Test]
    public void A_look_up_allocates_nothing()
    {
        var table = new QmpCommandTable();
        table.Add(Command("query-version"));
        table.TryGet("query-version"u8, out _);
        long before = GC.GetAllocatedBytesForCurrentThread();
        table.TryGet("query-version"u8, out _);
        table.TryGet("query-verse"u8, out _);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    private static QmpCommand Command(string name) => new(name, QmpCommandOptions.None, (_, _) => default);
}
