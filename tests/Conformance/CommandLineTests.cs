using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>A wrong command line ends with the status and the words that qemu-storage-daemon has for it.</summary>
public sealed class CommandLineTests
{
    [TestCase("--foo")]
    [TestCase("--help=1")]
    [TestCase("--blockdev")]
    [TestCase("--blockdev driver")]
    [TestCase("--blockdev nodriver")]
    [TestCase("--blockdev driver=nodriver,node-name=x")]
    [TestCase("--blockdev null-co")]
    [TestCase("--blockdev null-co,node-name=1x")]
    [TestCase("--blockdev null-co,node-name=n,size=x")]
    [TestCase("--blockdev null-co,node-name=n,foo=1")]
    [TestCase("--blockdev null-co,node-name=n,read-only=maybe")]
    [TestCase("--blockdev null-co,node-name=n,read-only=yes --blockdev null-co,node-name=n")]
    [TestCase("--blockdev qcow2,node-name=n,file=none")]
    [TestCase("--blockdev qcow2,node-name=n,file.driver=null-co")]
    [TestCase("--blockdev {\"driver\":\"null-co\"")]
    [TestCase("--blockdev {\"driver\":\"null-co\",\"node-name\":7}")]
    [TestCase("--blockdev []")]
    [TestCase("--blockdev a..b=1")]
    [TestCase("--e")]
    [TestCase("--p")]
    [TestCase("--nbd-server addr.type=unix,addr.path=/12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890")]
    [TestCase("--object x")]
    [TestCase("--object iothread")]
    [TestCase("--object iothread,id=1")]
    [TestCase("--object iothread,id=a --object iothread,id=a")]
    [TestCase("--object secret,id=s")]
    [TestCase("--object secret,id=s,file=/none")]
    [TestCase("--chardev x")]
    [TestCase("--chardev id=x")]
    [TestCase("--chardev null,id=1")]
    [TestCase("--chardev null,id=a --chardev null,id=a")]
    [TestCase("--chardev null,id=a,logfile=/none/x")]
    [TestCase("--chardev socket,id=a")]
    [TestCase("--chardev socket,id=a,path=")]
    [TestCase("--chardev socket,id=a,path=/none/x")]
    [TestCase("--chardev socket,id=a,path=/none/x,server=on,wait=off")]
    [TestCase("--chardev socket,id=a,path=/none/x,server=off,wait=on")]
    [TestCase("--chardev socket,id=a,path=/none/x,server=on,reconnect=1")]
    [TestCase("--chardev socket,id=a,path=/none/x,reconnect=x")]
    [TestCase("--chardev socket,id=a,path=/none/x,reconnect=-1")]
    [TestCase("--chardev socket,id=a,host=127.0.0.1,port=1")]
    [TestCase("--chardev socket,id=a,host=127.0.0.1,port=x")]
    [TestCase("--chardev socket,id=a,host=127.0.0.1,port=1,ipv4=off,ipv6=off")]
    [TestCase("--chardev socket,id=a,fd=99")]
    [TestCase("--chardev socket,id=a,fd=x")]
    [TestCase("--chardev socket,id=a,fd=-1")]
    [TestCase("--chardev socket,id=a,path=/none/x,server=maybe")]
    [TestCase("--chardev file,id=a,path=/none/x")]
    [TestCase("--chardev pipe,id=a,path=/none")]
    [TestCase("--chardev ringbuf,id=a,size=3")]
    [TestCase("--chardev ringbuf,id=a,size=x")]
    [TestCase("--chardev ringbuf,id=a,size=3k")]
    [TestCase("--chardev stdio,id=a --chardev stdio,id=b")]
    [TestCase("--monitor x")]
    [TestCase("--monitor chardev=x,mode=foo")]
    [TestCase("--chardev null,id=a --monitor a --monitor a")]
    [TestCase("--nbd-server x")]
    [TestCase("--nbd-server addr.type=unix")]
    [TestCase("--nbd-server addr.type=unix,addr.path=/none/x")]
    [TestCase("--nbd-server addr.type=inet,addr.host=127.0.0.1,addr.port=x")]
    [TestCase("--nbd-server addr.type=fd,addr.str=99")]
    [TestCase("--export type=x")]
    [TestCase("--export nbd,id=e,node-name=n")]
    [TestCase("--blockdev null-co,node-name=n --export nbd,id=e,node-name=n")]
    [TestCase("--pidfile /none/x")]
    [TestCase("--pidfile /tmp")]
    [TestCase("--pidfile=")]
    [TestCase("--blockdev blkdebug,node-name=n,config=,image.driver=null-co")]
    [TestCase("--object secret,id=s,file=")]
    [TestCase("--blockdev null-co,node-name=n word")]
    public void Both_refuse_it_alike(string line)
    {
        ToolResult ours = Tool.Try(Repository.Daemon, line.Split(' '));
        ToolResult theirs = Tool.Try("qemu-storage-daemon", line.Split(' '));
        Assert.That(theirs.ExitCode, Is.EqualTo(1), "the line is not wrong");
        Assert.That(ours.ExitCode, Is.EqualTo(1));
        Assert.That(WithoutLog(ours.Error).Replace("qmp-monitor", "PROGRAM", StringComparison.Ordinal), Is.EqualTo(theirs.Error.Replace("qemu-storage-daemon", "PROGRAM", StringComparison.Ordinal)));
    }

    [TestCase("iothread")]
    [TestCase("secret")]
    [TestCase("throttle-group")]
    public void The_options_of_an_object_are_listed_alike(string type)
    {
        string[] line = ["--object", $"{type},help"];
        Assert.That(Tool.Run(Repository.Daemon, line), Is.EqualTo(Tool.Run("qemu-storage-daemon", line)));
    }

    [TestCase("--object help", "List of user creatable objects:\n  iothread\n  secret\n  throttle-group\n")]
    [TestCase("--chardev help", "Available chardev backend types: \n")]
    public void What_there_is_is_listed(string line, string beginning) =>
        Assert.That(Tool.Run(Repository.Daemon, line.Split(' ')), Does.StartWith(beginning));

    [TestCase("--help")]
    [TestCase("--version")]
    [TestCase("--object help")]
    public void A_full_disk_does_not_make_help_fail(string line) =>
        Assert.That(Tool.Try("bash", "-c", $"{Repository.Daemon} {line} > /dev/full"), Is.EqualTo(new ToolResult(0, "", "")));

    /// <summary>The log says when the end of a failed start begins.</summary>
    private static string WithoutLog(string text) =>
        string.Concat(text.Split('\n').Where(line => !line.StartsWith("20", StringComparison.Ordinal) && line.Length > 0).Select(line => $"{line}\n"));
}
