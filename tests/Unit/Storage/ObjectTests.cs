using Monitor.Block;
using Monitor.Block.Throttling;
using Monitor.Qapi;
using Monitor.Qmp;
using Monitor.Storage.Commands;
using Monitor.Storage.Objects;
using NUnit.Framework;

namespace Unit.Storage;

public sealed class ObjectTests
{
    private static readonly ThrottleGroups s_groups = new(TimeProvider.System);
    private readonly ObjectStore _objects = new(s_groups);

    [SetUp]
    public void RemoveAll()
    {
        foreach (string id in _objects.All.Select(made => made.Id).ToArray())
        {
            _objects.Remove(id);
        }
    }

    [Test]
    public async Task A_secret_in_base64_gives_its_bytes()
    {
        await AddAsync("""{"qom-type": "secret", "id": "s", "data": "aGVs\nbG8=", "format": "base64"}""");
        Assert.That(_objects.GetSecret("s").Value.ToArray(), Is.EqualTo("hello"u8.ToArray()));
    }

    [Test]
    public async Task A_secret_encrypted_under_another_is_decrypted()
    {
        // Made by: printf hello | openssl enc -aes-256-cbc -base64 -K 30...46 -iv 30...46
        await AddAsync("""{"qom-type": "secret", "id": "key", "data": "0123456789ABCDEF0123456789ABCDEF"}""");
        await AddAsync("""{"qom-type": "secret", "id": "s", "keyid": "key", "iv": "MDEyMzQ1Njc4OUFCQ0RFRg==", "format": "base64", "data": "luUSdqUM5R4JDk63AHbThA=="}""");
        Assert.That(_objects.GetSecret("s").Value.ToArray(), Is.EqualTo("hello"u8.ToArray()));
    }

    [Test]
    public async Task A_secret_in_a_file_gives_its_bytes()
    {
        string path = Path.GetTempFileName();
        try
        {
            await File.WriteAllBytesAsync(path, [1, 0, 255]);
            await AddAsync($$"""{"qom-type": "secret", "id": "s", "file": "{{path}}"}""");
            Assert.That(_objects.GetSecret("s").Value.ToArray(), Is.EqualTo(new byte[] { 1, 0, 255 }));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Test]
    public async Task A_throttle_group_gives_its_limits_to_the_group_of_its_name()
    {
        await AddAsync("""{"qom-type": "throttle-group", "id": "t", "x-bps-read": 7, "limits": {"iops-total": 100}}""");
        ThrottleGroup group = s_groups.Find("t")!;
        Assert.That(group.Configuration.ToLimits().IopsTotal, Is.EqualTo(100));

        _objects.Find("t")!.Set("limits", QmpInputVisitor.Parse("""{"limits": {"iops-total": 50}}"""));

        ThrottleLimits limits = group.Configuration.ToLimits();
        Assert.That((limits.IopsTotal, limits.BpsRead, limits.BpsReadMaxLength), Is.EqualTo((50, 7, 1)));
    }

    [Test]
    public async Task A_throttle_group_with_a_member_stays()
    {
        await AddAsync("""{"qom-type": "throttle-group", "id": "t"}""");
        var member = new ThrottleMember(s_groups.Find("t")!);

        Assert.That(() => _objects.Remove("t"), Throws.TypeOf<QmpException>().With.Message.EqualTo("object 't' is in use, can not be deleted"));

        member.Leave();
        _objects.Remove("t");
        Assert.That(s_groups.Find("t"), Is.Null);
    }

    [Test]
    public async Task Properties_of_several_objects_are_listed_with_their_values()
    {
        await AddAsync("""{"qom-type": "iothread", "id": "io", "poll-max-ns": 7}""");
        using var loop = new MonitorLoop();
        var commands = new MiscCommands(_objects, TestMachine.DevicesOf(new BlockGraph(loop, new DiscardedEvents())), new ChardevTable());
        IReadOnlyList<ObjectPropertiesValues> listed = await commands.QomListGetAsync(new QomListGetArguments { Paths = ["/objects/io", "/"] });
        Assert.That(listed[0].Properties.Single(property => property.Name == "poll-max-ns").Value!.Text, Is.EqualTo("7"));
        Assert.That(listed[1].Properties.Select(property => $"{property.Name}={property.Value!.Text}"), Is.EqualTo(new[] { "type=container", "objects=/objects", "chardevs=/chardevs", "machine=/machine" }));
    }

    private ValueTask AddAsync(string options) => _objects.AddAsync(ObjectOptions.Read(QmpInputVisitor.Parse(options), null));
}
