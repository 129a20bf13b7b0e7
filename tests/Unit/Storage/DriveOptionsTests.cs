using Monitor.Qapi;
using Monitor.Storage.Drives;
using NUnit.Framework;

namespace Unit.Storage;

/// <summary>What <c>--drive</c> makes of its value.</summary>
public sealed class DriveOptionsTests
{
    [TestCase("file=/d,format=raw,if=none", "raw", "/d")]
    [TestCase("/d,format=qcow2", "qcow2", "/d")]
    [TestCase("driver=qcow2,file.driver=file,file.filename=/d", "qcow2", "/d")]
    [TestCase("driver=file,file=/d", "file", "/d")]
    [TestCase("""file=json:{"driver":"raw",,"file":{"driver":"file",,"filename":"/d"}}""", "raw", "/d")]
    public void The_node_is_that_of_blockdev(string text, string driver, string fileName)
    {
        BlockdevOptions node = DriveOptions.Parse(text, DriveInterface.Ide).ReadNode(isReadOnly: false);
        BlockdevOptions file = node.Driver switch
        {
            BlockdevDriver.Raw => node.Raw.File.Definition!,
            BlockdevDriver.Qcow2 => node.Qcow2.File!.Definition!,
            _ => node,
        };
        Assert.That((node.Driver.ToWire(), file.File.Filename), Is.EqualTo((driver, fileName)));
    }

    [TestCase("nbd://h/x", "inet h 10809", "x")]
    [TestCase("nbd+tcp://h:7/a%20b", "inet h 7", "a b")]
    [TestCase("nbd+unix:///x?socket=/s", "unix /s", "x")]
    [TestCase("nbd:unix:/s:exportname=x,,y", "unix /s", "x,y")]
    [TestCase("nbd:h:7", "inet h 7", null)]
    public void The_name_of_an_export_is_its_address(string file, string address, string? export)
    {
        BlockdevOptionsNbd nbd = DriveOptions.Parse($"if=none,file={file}", DriveInterface.Ide).ReadNode(isReadOnly: false).Raw.File.Definition!.Nbd;
        string found = nbd.Server.Type == SocketAddressType.Unix ? $"unix {nbd.Server.Unix.Path}" : $"inet {nbd.Server.Inet.Host} {nbd.Server.Inet.Port}";
        Assert.That((found, nbd.Export), Is.EqualTo((address, export)));
    }

    [TestCase("nbd+unix:///x", "No valid URL specified")]
    [TestCase("nbd://", "No valid URL specified")]
    [TestCase("nbd+unix://h/x?socket=/a", "No valid URL specified")]
    [TestCase("nosuch:foo", "Unknown protocol 'nosuch'")]
    public void A_name_of_no_image_is_refused_in_QEMUs_words(string file, string refusal) => Assert.That(
        () => DriveOptions.Parse($"if=none,format=raw,file={file}", DriveInterface.Ide).ReadNode(isReadOnly: false),
        Throws.TypeOf<QmpException>().With.Message.EqualTo(refusal));

    [TestCase("cache=none", true, false, true)]
    [TestCase("cache=writeback", false, false, true)]
    [TestCase("cache=writethrough", false, false, false)]
    [TestCase("cache=directsync", true, false, false)]
    [TestCase("cache=unsafe", false, true, true)]
    [TestCase("cache=none,cache.direct=off", false, false, true)]
    [TestCase("cache.writeback=off", false, false, false)]
    public void A_cache_mode_is_three_switches(string text, bool isDirect, bool ignoresFlushes, bool hasWriteCache)
    {
        DriveOptions options = DriveOptions.Parse($"file=/d,format=raw,{text}", DriveInterface.Ide);
        BlockdevCacheOptions? cache = options.ReadNode(isReadOnly: false).Cache;
        Assert.That((cache?.Direct ?? false, cache?.NoFlush ?? false, options.HasWriteCache), Is.EqualTo((isDirect, ignoresFlushes, hasWriteCache)));
    }

    [TestCase("ide", 0, false, "ide0-hd0")]
    [TestCase("ide", 3, true, "ide1-cd1")]
    [TestCase("scsi", 8, false, "scsi1-hd1")]
    [TestCase("virtio", 2, false, "virtio2")]
    [TestCase("none", 1, true, "none1")]
    public void A_drive_without_name_is_named_by_its_place(string kind, int place, bool isCd, string name) =>
        Assert.That(DriveInterface.Find(kind)!.NameOf(place, isCd), Is.EqualTo(name));

    [TestCase("if=nosuch", "unsupported bus type 'nosuch'")]
    [TestCase("media=tape", "'tape' invalid media")]
    [TestCase("werror=auto", "'auto' invalid write error action")]
    [TestCase("rerror=enospc", "'enospc' invalid read error action")]
    [TestCase("throttling.bps-total=x", "Parameter 'throttling.bps-total' expects a number")]
    [TestCase("throttling.bps-total=1,throttling.bps-read=1", "bps/iops/max total values and read/write values cannot be used at the same time")]
    [TestCase("throttling.bps-total=-1", "bps/iops/max values must be within [0, 1000000000000000]")]
    [TestCase("iops=1,throttling.iops-total=1", "'throttling.iops-total' and its alias 'iops' can't be used at the same time")]
    [TestCase("bps=x", "Parameter 'throttling.bps-total' expects a number")]
    [TestCase("werror=stop,if=floppy", "werror is not supported by this bus type")]
    [TestCase("detect-zeroes=x", "invalid parameter value: x")]
    [TestCase("stats-intervals.0=0", "Invalid interval length: 0")]
    [TestCase("read-only=maybe", "Parameter 'read-only' expects 'on' or 'off'")]
    [TestCase("driver=raw,format=raw", "Cannot specify both 'driver' and 'format'")]
    public void Nonsense_is_refused_in_QEMUs_words(string text, string refusal) =>
        Assert.That(() => DriveOptions.Parse(text, DriveInterface.Ide), Throws.TypeOf<QmpException>().With.Message.EqualTo(refusal));

    [TestCase("file=/d,format=raw,nosuch=1", "Block format 'raw' does not support the option 'nosuch'")]
    [TestCase("file=/d,format=raw,throttling.nosuch=1", "Block format 'raw' does not support the option 'throttling.nosuch'")]
    [TestCase("file=/d,format=raw,a.b=1", "Block format 'raw' does not support the option 'a.b'")]
    [TestCase("file=/d,format=raw,file.a=1", "Block protocol 'file' doesn't support the option 'a'")]
    [TestCase("file.locking=off,format=raw", "Must specify either driver or file")]
    [TestCase("file.driver=file,format=raw", "The 'file' block driver requires a file name")]
    [TestCase("""file=json:{"driver":"raw"}""", "A block device must be specified for \"file\"")]
    [TestCase("file=json:x", "Could not parse the JSON options: JSON parse error, invalid keyword 'x'")]
    public void An_option_that_makes_no_node_is_named(string text, string refusal) => Assert.That(
        () => DriveOptions.Parse(text, DriveInterface.Ide).ReadNode(isReadOnly: false),
        Throws.TypeOf<QmpException>().With.Message.EqualTo(refusal));

    [Test]
    public void Older_names_of_limits_hold()
    {
        DriveOptions options = DriveOptions.Parse("iops_rd=5,iops_rd_max=0x10,bps=7,group=g,readonly=on", DriveInterface.Ide);
        ThrottleLimits limits = options.Limits.ToLimits();
        Assert.That((limits.IopsRead, limits.IopsReadMax, limits.BpsTotal, options.ThrottleGroup, options.IsReadOnly), Is.EqualTo((5L, 16L, 7L, "g", true)));
    }

    [Test]
    public void Json_gives_what_the_drive_does_not()
    {
        DriveOptions options = DriveOptions.Parse("""format=raw,file=json:{"driver":"qcow2",,"read-only":true,,"size":512,,"file":{"driver":"null-co",,"size":4096}}""", DriveInterface.Ide);
        BlockdevOptions node = options.ReadNode(options.IsReadOnly);
        Assert.That((node.Driver, node.ReadOnly, node.Raw.Size, node.Raw.File.Definition!.NullCo.Size), Is.EqualTo((BlockdevDriver.Raw, (bool?)false, (long?)512, (long?)4096)));
    }

    [Test]
    public void Lengths_may_have_a_suffix() => Assert.That(
        DriveOptions.Parse("driver=null-co,size=3M", DriveInterface.Ide).ReadNode(isReadOnly: false).NullCo.Size,
        Is.EqualTo(3 << 20));

    [TestCase("copy-on-read=on", true, null)]
    [TestCase("copy-on-read=on,read-only=on", false, "disabling copy-on-read on read-only drive")]
    [TestCase("copy-on-read=off,read-only=on", false, null)]
    public void Copying_up_needs_a_writable_image(string text, bool copies, string? warning)
    {
        DriveOptions options = DriveOptions.Parse(text, DriveInterface.Ide);
        Assert.That((options.CopiesOnRead, options.Warning), Is.EqualTo((copies, warning)));
    }
}
