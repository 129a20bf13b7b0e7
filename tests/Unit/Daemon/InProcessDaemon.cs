using System.Text;
using Monitor.Daemon;

namespace Unit.Daemon;

/// <summary>The whole daemon inside the test: every command, sessions over memory instead of sockets.</summary>
internal sealed class InProcessDaemon : IDisposable
{
    private readonly MonitorDaemon _daemon = new();

    private int _clients;

    /// <summary>Connects a client that has negotiated.</summary>
    public InProcessClient Connect()
    {
        InProcessClient client = ConnectRaw();
        client.Ask("{\"execute\":\"qmp_capabilities\"}");
        return client;
    }

    /// <summary>Connects a client that has read the greeting.</summary>
    public InProcessClient ConnectRaw()
    {
        var client = new InProcessClient();
        _daemon.Server.AddMonitor(new InProcessChardev($"c{_clients}", client), $"m{_clients++}", isPretty: false);
        client.WaitUntilIdle();
        client.TakeOutput();
        return client;
    }

    /// <summary>Adds nodes of a null device, named from <c>n0</c> on.</summary>
    public static void AddNodes(InProcessClient client, int count)
    {
        for (int i = 0; i < count; i++)
        {
            client.Send(Encoding.ASCII.GetBytes($"{{\"execute\":\"blockdev-add\",\"arguments\":{{\"driver\":\"null-co\",\"node-name\":\"n{i}\",\"size\":1073741824}}}}"));
            client.TakeMessage();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _daemon.Server.StopAsync().GetAwaiter().GetResult();
        _daemon.Dispose();
    }
}
