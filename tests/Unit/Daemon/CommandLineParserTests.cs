using Monitor.Daemon.CommandLine;
using NUnit.Framework;

namespace Unit.Daemon;

public sealed class CommandLineParserTests
{
    [TestCase("--blockdev x", "Blockdev:x")]
    [TestCase("--blockdev=x=y", "Blockdev:x=y")]
    [TestCase("--block x", "Blockdev:x")]
    [TestCase("-blockdev x", "Blockdev:x")]
    [TestCase("-blockdev=x", "Blockdev:x")]
    [TestCase("-Tpattern --help", "Trace:pattern Help:")]
    [TestCase("-T pattern -hV", "Trace:pattern Help: Version:")]
    [TestCase("--pidfile --qmp", "PidFile:--qmp")]
    [TestCase("-hda a,b -cdrom=c -fdb d", "Drive:index=0,media=disk,file=a,,b Drive:index=2,media=cdrom,file=c Drive:if=floppy,index=1,file=d")]
    [TestCase("-d x -Dlog -k en-us -L dir", "Ignored:x Ignored:log Ignored:en-us Ignored:dir")]
    [TestCase("word --help -", "Word:word Help: Word:-")]
    public void Options_are_spelled_as_getopt_has_it(string arguments, string expected)
    {
        var options = CommandLineParser.Parse(arguments.Split(' ')).Select(option => $"{option.Name}:{option.Value}");
        Assert.That(string.Join(' ', options), Is.EqualTo(expected));
    }

    [TestCase("--foo", "unrecognized option '--foo'")]
    [TestCase("-xyz", "invalid option -- 'x'")]
    [TestCase("--pidfile", "option '--pidfile' requires an argument")]
    [TestCase("-T", "option requires an argument -- 'T'")]
    [TestCase("--version=3", "option '--version' doesn't allow an argument")]
    public void A_wrong_option_is_refused_as_getopt_words_it(string arguments, string expected)
    {
        var e = Assert.Throws<CommandLineException>(() => CommandLineParser.Parse(arguments.Split(' ')).ToList());
        Assert.That(e!.Message, Is.EqualTo(expected));
    }

    [Test]
    public void An_error_text_can_quote_the_option_as_it_stood()
    {
        var options = CommandLineParser.Parse(["--blockdev", "a", "--export=b"]).ToList();
        Assert.That(options.Select(option => option.Spelling), Is.EqualTo(["--blockdev a", "--export=b"]));
    }
}
