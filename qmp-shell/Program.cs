using System.CommandLine;
using System.Net.Sockets;
using Spectre.Console;

namespace QmpShell;

/// <summary>The command <c>qmp-shell</c>.</summary>
internal static class Program
{
    private static async Task<int> Main(string[] args)
    {
        var socket = new Argument<string>("SOCKET") { Description = "Path of the monitor's UNIX socket, or HOST:PORT" };
        var pretty = new Option<bool>("--pretty", "-p") { Description = "Print replies and events indented" };
        var verbose = new Option<bool>("--verbose", "-v") { Description = "Print requests too" };
        var skip = new Option<bool>("--skip-negotiation", "-N") { Description = "Do not send qmp_capabilities" };
        var stop = new Option<bool>("--exit-on-error", "-e") { Description = "End a script at its first failed command, with exit code 1" };
        var root = new RootCommand("Talks to a QMP monitor: one command a line, as COMMAND KEY=VALUE... or as JSON; from a terminal or a script on standard input")
        {
            socket, pretty, verbose, skip, stop,
        };
        root.SetAction((result, _) => RunAsync(result.GetRequiredValue(socket), new ShellOptions
        {
            Pretty = result.GetValue(pretty),
            Verbose = result.GetValue(verbose),
            SkipNegotiation = result.GetValue(skip),
            StopOnError = result.GetValue(stop),
        }));
        return await root.Parse(args).InvokeAsync();
    }

    private static async Task<int> RunAsync(string socket, ShellOptions options)
    {
        try
        {
            await using var client = await QmpClient.ConnectAsync(QmpAddress.Parse(socket));
            return Console.IsInputRedirected ? await RunScriptAsync(client, options) : await RunTerminalAsync(client, options);
        }
        catch (Exception e) when (e is SocketException or IOException or QmpErrorException or FormatException or ArgumentException)
        {
            string text = e is SocketException { SocketErrorCode: SocketError.AddressNotAvailable } ? "there is no such socket" : e.Message;
            await Console.Error.WriteLineAsync($"qmp-shell: {socket}: {text}");
            return 1;
        }
    }

    private static async Task<int> RunScriptAsync(QmpClient client, ShellOptions options)
    {
        var shell = new Shell(client, options, static (text, kind) =>
            (kind == MessageKind.Error ? Console.Error : Console.Out).WriteLine(text));
        await shell.StartAsync();
        return await shell.RunAsync(_ => Console.In.ReadLine());
    }

    private static async Task<int> RunTerminalAsync(QmpClient client, ShellOptions options)
    {
        CommandCompleter? completer = null;
        var terminal = new Terminal(line => completer?.Complete(line) ?? []);
        var shell = new Shell(client, options, (text, kind) => terminal.Print(text, ColorOf(kind)));
        await shell.StartAsync();
        completer = options.SkipNegotiation ? null : await shell.LoadCompleterAsync();
        var version = client.Greeting.GetProperty("version");
        terminal.Print($"Connected: {version.GetProperty("package")}. Tab completes, Ctrl-D ends.", Color.Grey);
        return await shell.RunAsync(isInTransaction => terminal.ReadLine(isInTransaction ? "TRANS> " : "(QEMU) "));
    }

    private static Color ColorOf(MessageKind kind) => kind switch
    {
        MessageKind.Request => Color.Grey,
        MessageKind.Event => Color.Yellow,
        MessageKind.Error or MessageKind.ErrorReply => Color.Red,
        _ => Color.Default,
    };
}
