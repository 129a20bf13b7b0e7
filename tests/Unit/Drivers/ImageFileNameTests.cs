using Monitor.Block;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Drivers;

/// <summary>Names of images as clients write them.</summary>
public sealed class ImageFileNameTests
{
    [TestCase("a", "a")]
    [TestCase("/a:b", "/a:b")]
    [TestCase("./nbd:x", "./nbd:x")]
    [TestCase("file:a:b", "a:b")]
    public void A_path_is_a_file(string name, string path) =>
        Assert.That(ImageFileName.Parse(name).File.Filename, Is.EqualTo(path));

    [TestCase("nbd://h/e", "h", "10809", "e")]
    [TestCase("nbd://h:1234", "h", "1234", null)]
    [TestCase("nbd+tcp://[::1]:1/a%20b", "::1", "1", "a b")]
    [TestCase("nbd:h:1234", "h", "1234", null)]
    [TestCase("nbd:[::1]:1234:exportname=a:b", "::1", "1234", "a:b")]
    public void A_server_on_a_network(string name, string host, string port, string? export)
    {
        BlockdevOptionsNbd nbd = ImageFileName.Parse(name).Nbd;
        Assert.That((nbd.Server.Inet.Host, nbd.Server.Inet.Port, nbd.Export), Is.EqualTo((host, port, export)));
    }

    [TestCase("nbd+unix:///e?socket=/tmp/s", "/tmp/s", "e")]
    [TestCase("nbd+unix:///?socket=/tmp/s%3A", "/tmp/s:", null)]
    [TestCase("nbd:unix:/tmp/s", "/tmp/s", null)]
    [TestCase("nbd:unix:/tmp/s:exportname=e", "/tmp/s", "e")]
    public void A_server_on_a_socket_of_this_host(string name, string path, string? export)
    {
        BlockdevOptionsNbd nbd = ImageFileName.Parse(name).Nbd;
        Assert.That((nbd.Server.Unix.Path, nbd.Export), Is.EqualTo((path, export)));
    }

    [Test]
    public void Json_is_options() =>
        Assert.That(ImageFileName.Parse("""json:{"driver": "null-co", "size": 512}""").Driver, Is.EqualTo(BlockdevDriver.NullCo));

    [Test]
    public void Names_of_json_may_nest_by_dots() =>
        Assert.That(ImageFileName.Parse("""json:{"driver": "raw", "file.driver": "null-co", "file.size": 512}""").Raw.File.Definition!.NullCo.Size, Is.EqualTo(512));

    [TestCase("/dev/null", BlockdevDriver.HostDevice)]
    [TestCase("/dev/fdset/3", BlockdevDriver.File)]
    [TestCase("host_device:/dev/null", BlockdevDriver.HostDevice)]
    [TestCase("file:/dev/null", BlockdevDriver.File)]
    public void A_device_has_its_own_driver(string name, BlockdevDriver driver) => Assert.That(ImageFileName.Parse(name).Driver, Is.EqualTo(driver));

    [Test]
    public void Filters_for_tests_stand_above_other_names()
    {
        BlockdevOptionsBlkdebug outer = ImageFileName.Parse("blkdebug:/c:blkdebug::nbd://h").Blkdebug;
        BlockdevOptionsBlkdebug inner = outer.Image.Definition!.Blkdebug;
        Assert.That((outer.Config, inner.Config, inner.Image.Definition!.Nbd.Server.Inet.Host), Is.EqualTo(("/c", (string?)null, "h")));
    }

    [Test]
    public void The_image_under_test_is_looked_into()
    {
        using var file = new TemporaryFile(512);
        BlockdevOptionsBlkverify verify = ImageFileName.Parse($"blkverify:{file.Name}:{file.Name}").Blkverify;
        Assert.That((verify.Raw.Definition!.Driver, verify.Test.Definition!.Driver), Is.EqualTo((BlockdevDriver.File, BlockdevDriver.Raw)));
    }

    [TestCase("ssh://h/x", "Unknown protocol 'ssh'")]
    [TestCase("nbd+unix:///e", "No valid URL specified")]
    [TestCase("nbd://h/e?socket=x", "No valid URL specified")]
    [TestCase("nbd:h", "error parsing address 'h'")]
    [TestCase("blkdebug:/a", "blkdebug requires both config file and image path")]
    [TestCase("blkverify:/a", "blkverify requires raw copy and original image path")]
    [TestCase("json:x", "Could not parse the JSON options: JSON parse error, invalid keyword 'x'")]
    public void What_is_no_name_is_refused(string name, string text) =>
        Assert.That(() => ImageFileName.Parse(name), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
}
