using System.Text.Json;
using Testing;

namespace Conformance;

/// <summary>Asks the real qemu-storage-daemon for its schema.</summary>
internal static class StorageDaemonSchema
{
    /// <summary>Its answer to <c>query-qmp-schema</c>.</summary>
    public static async Task<JsonDocument> QueryAsync()
    {
        using var directory = new TemporaryDirectory();
        await using DaemonProcess daemon = DaemonProcess.Start("qemu-storage-daemon", directory);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        return JsonDocument.Parse((await qmp.ExecuteAsync("query-qmp-schema")).ToJsonString());
    }
}
