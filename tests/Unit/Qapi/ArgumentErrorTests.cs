using System.Text;
using Monitor.Qapi;
using Monitor.Qapi.Json;
using NUnit.Framework;

namespace Unit.Qapi;

/// <summary>The generated readers' errors; the expected texts are those of qemu-storage-daemon 7.2.</summary>
public sealed class ArgumentErrorTests
{
    private static readonly QmpCommandTable s_table = MakeTable();

    [TestCase("blockdev-add", """{"driver":"nodrv"}""", "Parameter 'driver' does not accept value 'nodrv'")]
    [TestCase("blockdev-add", "{}", "Parameter 'driver' is missing")]
    [TestCase("blockdev-add", """{"driver":"qcow2","file":5}""", "Invalid parameter type for 'file', expected: BlockdevRef")]
    [TestCase("blockdev-add", """{"driver":"qcow2","file":{"driver":"file"}}""", "Parameter 'file.filename' is missing")]
    [TestCase("blockdev-add", """{"driver":"qcow2","file":{"driver":"file","filename":"x","bogus":1}}""", "Parameter 'file.bogus' is unexpected")]
    [TestCase("blockdev-add", """{"driver":"qcow2","node-name":3,"file":"x"}""", "Invalid parameter type for 'node-name', expected: string")]
    [TestCase("blockdev-add", """{"driver":"qcow2","file":"x","overlap-check":7}""", "Invalid parameter type for 'overlap-check', expected: Qcow2OverlapChecks")]
    [TestCase("blockdev-add", """{"driver":"qcow2","file":"x","overlap-check":"foo"}""", "Parameter 'overlap-check' does not accept value 'foo'")]
    [TestCase("blockdev-add", """{"driver":"null-co","node-name":"n","read-only":"yes"}""", "Invalid parameter type for 'read-only', expected: boolean")]
    [TestCase("blockdev-add", """{"driver":"blkdebug","image":"n","inject-error":[{"event":"zork"}]}""", "Parameter 'event' does not accept value 'zork'")]
    [TestCase("blockdev-create", """{"job-id":"j","options":{"driver":"file","filename":"x","size":"1G"}}""", "Parameter 'options.size' expects uint64")]
    [TestCase("transaction", """{"actions":{}}""", "Invalid parameter type for 'actions', expected: array")]
    [TestCase("transaction", """{"actions":[{"type":"abort"}]}""", "Parameter 'actions[0].data' is missing")]
    [TestCase("transaction", """{"actions":[{"type":"block-dirty-bitmap-add","data":{"node":"a","name":5}}]}""", "Invalid parameter type for 'actions[0].data.name', expected: string")]
    [TestCase("block-dirty-bitmap-merge", """{"node":"a","target":"b","bitmaps":[5]}""", "Invalid parameter type for 'null', expected: BlockDirtyBitmapOrStr")]
    [TestCase("block-dirty-bitmap-merge", """{"node":"a","target":"b","bitmaps":[{"node":"x"}]}""", "Parameter 'bitmaps[0].name' is missing")]
    [TestCase("block-dirty-bitmap-add", """{"node":"a","name":"b","granularity":"c"}""", "Parameter 'granularity' expects uint64")]
    [TestCase("block-dirty-bitmap-add", """{"node":"a","name":"b","granularity":4294967296}""", "Parameter 'granularity' expects uint32_t")]
    [TestCase("nbd-server-start", """{"addr":{"type":"unix"}}""", "Parameter 'addr.data' is missing")]
    [TestCase("nbd-server-start", """{"addr":{"type":"unix","data":{"path":"/x"}},"max-connections":-1}""", "Parameter 'max-connections' expects uint32_t")]
    [TestCase("block-export-add", """{"type": "nbd"}""", "Parameter 'id' is missing")]
    [TestCase("quit", """{"x":1}""", "Parameter 'x' is unexpected")]
    [TestCase("query-commands", """{"x":1}""", "Parameter 'x' is unexpected")]
    public async Task A_wrong_argument_is_named_before_the_command_is_called(string command, string arguments, string description)
    {
        Assert.That(s_table.TryGet(Encoding.UTF8.GetBytes(command), out QmpCommand? found), Is.True);
        QmpException? error = await Assert.ThrowsAsync<QmpException>(async () => await found!.Handler(QmpInputVisitor.Parse(arguments), new NoReply()));
        Assert.That(error!.Message, Is.EqualTo(description));
        Assert.That(error.ErrorClass, Is.EqualTo(QmpErrorClass.GenericError));
    }

    /// <summary>All commands without anything behind them: a call would fail with another exception.</summary>
    private static QmpCommandTable MakeTable()
    {
        var table = new QmpCommandTable();
        QapiCommands.RegisterBlockNode(table, null!);
        QapiCommands.RegisterControl(table, null!);
        QapiCommands.RegisterExport(table, null!);
        QapiCommands.RegisterTransaction(table, null!);
        IntrospectCommands.Register(table);
        return table;
    }

    private sealed class NoReply : IQmpReply
    {
        public JsonWriter Writer => throw new NotSupportedException();

        public IQmpSessionInfo Session => throw new NotSupportedException();
    }
}
