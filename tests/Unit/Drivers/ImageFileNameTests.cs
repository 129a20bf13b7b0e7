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

    [TestCase("ssh://h/x", "Unknown protocol 'ssh'")]
    [TestCase("nbd+unix:///e", "No valid URL specified")]
    [TestCase("nbd://h/e?socket=x", "No valid URL specified")]
    [TestCase("nbd:h", "host/port 'h' is not of the form host:port")]
    public void What_is_no_name_is_refused(string name, string text) =>
        Assert.That(() => ImageFileName.Parse(name), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
}
