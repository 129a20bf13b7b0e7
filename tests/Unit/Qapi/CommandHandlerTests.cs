using System.Text;
using Monitor.Qapi;
using Monitor.Qapi.Json;
using NUnit.Framework;

namespace Unit.Qapi;

public sealed class CommandHandlerTests
{
    private static readonly VersionInfo s_version = new() { Qemu = new VersionTriple { Major = 7, Minor = 2, Micro = 22 }, Package = "p" };

    [Test]
    public void A_result_that_is_there_at_once_is_written_before_the_handler_returns()
    {
        var reply = new TextReply();
        Task run = Run("query-version", new ControlCommands(ValueTask.FromResult(s_version)), reply).AsTask();
        Assert.That(run.IsCompletedSuccessfully, Is.True);
        Assert.That(reply.Text, Is.EqualTo("""{"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": "p"}"""));
    }

    [Test]
    public async Task A_result_that_comes_later_is_written_when_it_comes()
    {
        var later = new TaskCompletionSource<VersionInfo>();
        var reply = new TextReply();
        Task run = Run("query-version", new ControlCommands(new ValueTask<VersionInfo>(later.Task)), reply).AsTask();
        Assert.That(reply.Text, Is.Empty);
        later.SetResult(s_version);
        await run;
        Assert.That(reply.Text, Does.StartWith("""{"qemu":"""));
    }

    [Test]
    public async Task A_command_without_result_writes_nothing()
    {
        var reply = new TextReply();
        var commands = new ControlCommands(ValueTask.FromResult(s_version));
        await Run("quit", commands, reply);
        Assert.That(commands.HasQuit, Is.True);
        Assert.That(reply.Text, Is.Empty);
    }

    [Test]
    public async Task Query_commands_lists_the_table_and_what_the_session_answers()
    {
        var reply = new TextReply();
        await Run("query-commands", new ControlCommands(default), reply);
        Assert.That(reply.Text, Is.EqualTo(
            """[{"name": "qmp_capabilities"}, {"name": "query-version"}, {"name": "quit"}, {"name": "query-commands"}, {"name": "query-qmp-schema"}, {"name": "x-query-schema-docs"}]"""));
    }

    [Test]
    public void Members_are_written_in_schema_order_and_absent_ones_left_out()
    {
        var job = new JobInfo { Id = "j", Type = JobType.Mirror, Status = JobStatus.Ready, TotalProgress = 8, CurrentProgress = 5 };
        Assert.That(Text(job), Is.EqualTo("""{"id": "j", "type": "mirror", "status": "ready", "current-progress": 5, "total-progress": 8}"""));
    }

    [Test]
    public void A_union_writes_the_members_of_its_branch()
    {
        var info = new ImageInfoSpecific
        {
            Type = ImageInfoSpecificKind.Qcow2,
            Branch = new ImageInfoSpecificQCow2Wrapper
            {
                Data = new ImageInfoSpecificQCow2
                {
                    Compat = "1.1",
                    RefcountBits = 16,
                    CompressionType = Qcow2CompressionType.Zlib,
                    Bitmaps = [new Qcow2BitmapInfo { Name = "b", Granularity = 65536, Flags = [Qcow2BitmapInfoFlags.InUse, Qcow2BitmapInfoFlags.Auto] }],
                },
            },
        };
        Assert.That(Text(info), Is.EqualTo(
            """{"type": "qcow2", "data": {"compat": "1.1", "refcount-bits": 16, "bitmaps": [{"name": "b", "granularity": 65536, "flags": ["in-use", "auto"]}], "compression-type": "zlib"}}"""));
    }

    private static ValueTask Run(string command, IControlCommands commands, TextReply reply)
    {
        var table = new QmpCommandTable();
        QapiCommands.RegisterControl(table, commands);
        IntrospectCommands.Register(table);
        Assert.That(table.TryGet(Encoding.UTF8.GetBytes(command), out QmpCommand? found), Is.True);
        return found!.Handler(QmpInputVisitor.Parse("{}"), reply);
    }

    private static string Text(IQapiOutput output)
    {
        var reply = new TextReply();
        output.Write(reply.Writer);
        return reply.Text;
    }

    private sealed class ControlCommands(ValueTask<VersionInfo> version) : IControlCommands
    {
        public bool HasQuit { get; private set; }

        public ValueTask<VersionInfo> QueryVersionAsync() => version;

        public ValueTask QuitAsync()
        {
            HasQuit = true;
            return default;
        }
    }

    private sealed class TextReply : IQmpReply
    {
        public JsonWriter Writer { get; } = new();

        public IQmpSessionInfo Session => throw new NotSupportedException();

        public string Text => Writer.ToString();
    }
}
