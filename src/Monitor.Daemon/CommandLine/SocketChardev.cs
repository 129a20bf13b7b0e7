using Monitor.Qapi;

namespace Monitor.Daemon.CommandLine;

/// <summary>A <c>--chardev socket</c> over a UNIX socket: what a <c>--monitor</c> may sit on.</summary>
/// <param name="Id">Its name.</param>
/// <param name="Path">The socket's path.</param>
/// <param name="IsServer">Whether it listens (<c>server=on</c>) or connects.</param>
/// <param name="WaitsForClient">Whether starting waits for the first client (<c>wait=on</c>, the default of a server).</param>
internal sealed record SocketChardev(string Id, string Path, bool IsServer, bool WaitsForClient)
{
    private static readonly string[] s_known = ["id", "backend", "path", "server", "wait", "logfile", "logappend", "mux", "reconnect", "abstract", "tight"];

    /// <summary>Reads <c>[backend=]socket,id=…,path=…[,server=on|off][,wait=on|off]</c>.</summary>
    /// <exception cref="QmpException">It is malformed, or of a kind that is not supported.</exception>
    public static SocketChardev Parse(string text)
    {
        Dictionary<string, string> options = LegacyOptions.Parse(text, "backend");
        LegacyOptions.CheckKnown(options, s_known);
        if (!options.TryGetValue("id", out string? id))
        {
            throw new QmpException("chardev: no id specified");
        }

        LegacyOptions.CheckId(id);
        CheckBackend(id, options);
        if (!options.TryGetValue("path", out string? path))
        {
            throw new QmpException($"chardev: \"{id}\" supports path= (a UNIX socket) only");
        }

        bool isServer = LegacyOptions.Flag(options, "server", false);
        if (!isServer && options.ContainsKey("wait"))
        {
            throw new QmpException("'wait' option is incompatible with socket in client connect mode");
        }

        return new SocketChardev(id, path, isServer, LegacyOptions.Flag(options, "wait", isServer));
    }

    /// <summary>Reads <c>unix:PATH[,server=on|off][,wait=on|off]</c>, the value of <c>--qmp</c>.</summary>
    /// <exception cref="QmpException">It is malformed.</exception>
    public static SocketChardev ParseAddress(string id, string text)
    {
        const string Prefix = "unix:";
        if (!text.StartsWith(Prefix, StringComparison.Ordinal))
        {
            throw new QmpException("expected unix:PATH[,server=on][,wait=off]");
        }

        Dictionary<string, string> options = LegacyOptions.Parse(text[Prefix.Length..], "path");
        LegacyOptions.CheckKnown(options, ["path", "server", "wait"]);
        bool isServer = LegacyOptions.Flag(options, "server", true);
        return new SocketChardev(id, options.GetValueOrDefault("path", ""), isServer, LegacyOptions.Flag(options, "wait", false));
    }

    private static void CheckBackend(string id, Dictionary<string, string> options)
    {
        string backend = options.GetValueOrDefault("backend") ?? throw new QmpException($"chardev: \"{id}\" missing backend");
        if (backend != "socket")
        {
            throw new QmpException($"'{backend}' is not a valid char driver name");
        }
    }
}
