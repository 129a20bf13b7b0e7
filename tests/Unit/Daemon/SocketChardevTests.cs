using Monitor.Daemon.CommandLine;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Daemon;

public sealed class SocketChardevTests
{
    [TestCase("socket,id=c,path=/s,server=on,wait=off", "/s", true, false)]
    [TestCase("socket,id=c,path=/s,server=on", "/s", true, true)]
    [TestCase("socket,id=c,path=/s,server,nowait", "/s", true, false)]
    [TestCase("id=c,path=/a,,b,backend=socket", "/a,b", false, false)]
    public void A_unix_socket_is_described_as_in_qemu(string text, string path, bool isServer, bool waits) =>
        Assert.That(SocketChardev.Parse(text), Is.EqualTo(new SocketChardev("c", path, isServer, waits)));

    [TestCase("", "chardev: no id specified")]
    [TestCase("id=f", "chardev: \"f\" missing backend")]
    [TestCase("foo,id=c", "'foo' is not a valid char driver name")]
    [TestCase("socket,id=1 a,path=/s", "Parameter 'id' expects an identifier")]
    [TestCase("socket,id=a,path=/s,foo=3", "Invalid parameter 'foo'")]
    [TestCase("socket,id=a,path=/s,server=maybe", "Parameter 'server' expects 'on' or 'off'")]
    public void A_wrong_description_is_refused_in_qemus_words(string text, string error) =>
        Assert.That(Assert.Throws<QmpException>(() => SocketChardev.Parse(text))!.Message, Is.EqualTo(error));

    [Test]
    public void A_qmp_address_listens_without_waiting() =>
        Assert.That(SocketChardev.ParseAddress("c", "unix:/s"), Is.EqualTo(new SocketChardev("c", "/s", true, false)));
}
