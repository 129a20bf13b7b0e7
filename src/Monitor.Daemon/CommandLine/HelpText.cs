namespace Monitor.Daemon.CommandLine;

/// <summary>What <c>--help</c> prints.</summary>
internal static class HelpText
{
    /// <summary>The whole text.</summary>
    public const string Text = """
        Usage: qmp-monitor [options]
        A storage daemon that speaks QMP. Options take effect in the order given.

        Talking to it
          --qmp unix:PATH[,server=on|off][,wait=on|off]
                     offer QMP on a UNIX socket
          --chardev socket,id=ID,path=PATH[,server=on|off][,wait=on|off]
                     describe a UNIX socket for --monitor; server=on listens, wait=on
                     waits for the first client before going on
          --monitor [chardev=]ID[,mode=control][,pretty=on|off][,id=NAME]
                     offer QMP on a character device

        Storage (values as key=value,... or as JSON, members as in QMP)
          --blockdev [driver=]DRIVER,node-name=NAME[,...]
                     add a block node, as blockdev-add does
          --nbd-server addr.type=unix,addr.path=PATH[,max-connections=N]
          --nbd-server addr.type=inet,addr.host=HOST,addr.port=PORT[,max-connections=N]
                     start the NBD server
          --export [type=]nbd,id=ID,node-name=NAME[,name=EXPORT][,writable=on|off]
                     export a node, as block-export-add does
          --object [qom-type=]TYPE,id=ID[,...]
                     make an object, as object-add does

        The process
          --pidfile PATH         write the process id to a file once started
          --log-level LEVEL      trace, debug, info (the default), warn or error; the log goes to stderr
          -T, --trace PATTERN    accepted for compatibility
          --daemonize            not supported yet
          -h, --help             print this and end
          -V, --version          print the version and end

        Every option may also be written with one dash, its value after a space or '='.

        """;
}
