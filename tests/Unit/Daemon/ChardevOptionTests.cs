using Monitor.Daemon.CommandLine;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Daemon;

public sealed class ChardevOptionTests
{
    [TestCase("socket,id=c,path=/s,server=on,wait=off", "/s", true, false)]
    [TestCase("socket,id=c,path=/s,server=on", "/s", true, true)]
    [TestCase("socket,id=c,path=/s,server,nowait", "/s", true, false)]
    [TestCase("id=c,path=/a,,b,backend=socket", "/a,b", false, null)]
    public void A_unix_socket_is_described_as_in_qemu(string text, string path, bool isServer, bool? waits)
    {
        ChardevOption option = ChardevOption.Parse(text);
        ChardevSocket socket = option.Backend.Socket.Data;
        Assert.That((option.Id, socket.Addr.Unix.Data.Path, socket.Server, socket.Wait), Is.EqualTo(("c", path, (bool?)isServer, waits)));
    }

    [Test]
    public void A_tcp_socket_is_described_as_in_qemu()
    {
        InetSocketAddress inet = ChardevOption.Parse("socket,id=c,host=::1,port=7,to=9,ipv6=on").Backend.Socket.Data.Addr.Inet.Data;
        Assert.That((inet.Host, inet.Port, inet.To, inet.Ipv4, inet.Ipv6), Is.EqualTo(("::1", "7", (ushort?)9, (bool?)null, (bool?)true)));
    }

    [TestCase("", "chardev: no id specified")]
    [TestCase("id=f", "chardev: \"f\" missing backend")]
    [TestCase("foo,id=c", "'foo' is not a valid char driver name")]
    [TestCase("socket,id=1 a,path=/s", "Parameter 'id' expects an identifier")]
    [TestCase("socket,id=a,path=/s,foo=3", "Invalid parameter 'foo'")]
    [TestCase("socket,id=a,path=/s,server=maybe", "Parameter 'server' expects 'on' or 'off'")]
    [TestCase("socket,id=a,path=/s,host=h,port=1", "None or one of 'path', 'fd' or 'host' option required.")]
    [TestCase("socket,id=a,host=h", "chardev: socket: no port given")]
    [TestCase("socket,id=a,host=h,port=1,to=x", "Parameter 'to' expects a number")]
    [TestCase("file,id=a", "chardev: file: no filename given")]
    [TestCase("pipe,id=a", "chardev: pipe: no device path given")]
    public void A_wrong_description_is_refused_in_qemus_words(string text, string error) =>
        Assert.That(Assert.Throws<QmpException>(() => ChardevOption.Parse(text))!.Message, Is.EqualTo(error));

    [Test]
    public void A_qmp_address_listens_without_waiting()
    {
        ChardevSocket unix = ChardevOption.ParseAddress("c", "unix:/s").Backend.Socket.Data;
        ChardevSocket tcp = ChardevOption.ParseAddress("c", "tcp:[::1]:4444,wait=on").Backend.Socket.Data;
        Assert.That((unix.Addr.Unix.Data.Path, unix.Server, unix.Wait), Is.EqualTo(("/s", (bool?)true, (bool?)false)));
        Assert.That((tcp.Addr.Inet.Data.Host, tcp.Addr.Inet.Data.Port, tcp.Wait), Is.EqualTo(("::1", "4444", (bool?)true)));
    }
}
