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
          --qmp tcp:HOST:PORT[,server=on|off][,wait=on|off][,to=PORT][,ipv4=on|off][,ipv6=on|off]
                     offer QMP on a socket
          --chardev socket,id=ID,path=PATH[,abstract=on][,tight=on|off][,server=on|off][,wait=on|off][,reconnect=SECONDS]
          --chardev socket,id=ID,host=HOST,port=PORT[,to=PORT][,ipv4=on|off][,ipv6=on|off][,...]
          --chardev socket,id=ID,fd=NUMBER[,...]
                     describe a socket for --monitor; server=on listens, wait=on waits
                     for the first client before going on; fd= is an inherited one
          --chardev stdio,id=ID
          --chardev pipe,id=ID,path=PATH
                     PATH.in and PATH.out, or PATH for both
          --chardev file,id=ID,path=PATH[,input-path=PATH][,append=on|off]
          --chardev null,id=ID
          --chardev ringbuf,id=ID[,size=BYTES]
                     other devices; logfile=PATH keeps a copy of what is written to any
          --monitor [chardev=]ID[,mode=control][,pretty=on|off][,id=NAME]
                     offer QMP on a character device
          --monitor [chardev=]ID,mode=readline[,id=NAME]
                     offer the human monitor: lines such as 'info block', see 'help'

        Storage (values as key=value,... or as JSON, members as in QMP)
          --blockdev [driver=]DRIVER,node-name=NAME[,...]
                     add a block node, as blockdev-add does
          --nbd-server addr.type=unix,addr.path=PATH[,max-connections=N]
          --nbd-server addr.type=inet,addr.host=HOST,addr.port=PORT[,max-connections=N]
                     start the NBD server
          --export [type=]nbd,id=ID,node-name=NAME[,name=EXPORT][,writable=on|off]
                     export a node, as block-export-add does
          --drive [file=]PATH,if=none,id=ID[,format=FORMAT][,node-name=NAME][,cache=MODE][,...]
                     make a drive: a named user of a node, as a machine has it
          --device MODEL,id=ID,drive=DRIVE-OR-NODE[,bus=BUS][,...]
                     make a guest device, as device_add does
          --snapshot throw away at the end what is written to drives
          --object [qom-type=]TYPE,id=ID[,...]
                     make an object, as object-add does

        The process
          --add-fd fd=NUMBER,set=ID[,opaque=NOTE]
                     put an inherited descriptor into a set; /dev/fdset/ID opens it where a
                     file name is asked for; counts before options that open files
          --pidfile PATH         write the process id to a file once started
          --log-level LEVEL      trace, debug, info (the default), warn or error; the log goes to stderr
          -S, --paused           begin in the state prelaunch; cont ends it
          --incoming defer       begin in the state inmigrate
          --compat VERSION       which QEMU's replies clients see: 7.2 (the default), or 11.1
                                 with the members that newer QEMU added
          --error-codes          give errors a member code, for programs (schema/error.json)
          -name NAME, -uuid UUID what query-name and query-uuid tell
          -hda FILE, -cdrom FILE and the like
                     short forms of --drive
          -machine -accel -cpu -smp -m -display -vga -nodefaults -nographic and the like
                     options of an emulator that say nothing about storage: no effect
          -T, --trace PATTERN    accepted for compatibility
          --daemonize            return when all sockets listen, and go on in the background
          -h, --help             print this and end
          -V, --version          print the version and end

        Every option may also be written with one dash, its value after a space or '='.

        """;
}
