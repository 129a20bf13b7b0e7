using NUnit.Framework;

namespace Unit.Qmp;

public sealed class QmpPrettyTests
{
    [Test]
    public void A_pretty_monitor_lays_messages_out_as_qemu_does()
    {
        using var server = new QmpTestServer();
        string path = server.Path + "p";
        server.Listen(path, isPretty: true);
        using var client = new QmpTestClient(path);
        client.Send("""{"execute":"qmp_capabilities"}{"execute":"echo","arguments":{"value":[1,{},"a\": [,]",[]]},"id":{"x":[{"y":null}]}}""");
        client.EndSending();
        string said = System.Text.Encoding.ASCII.GetString(client.ReadToEnd());
        string[] expected =
        [
            "{", "    \"return\": {", "    }", "}",
            "{", "    \"return\": [", "        1,", "        {", "        },", "        \"a\\\": [,]\",", "        [", "        ]", "    ],",
            "    \"id\": {", "        \"x\": [", "            {", "                \"y\": null", "            }", "        ]", "    }", "}", "",
        ];
        Assert.That(said, Does.StartWith("{\r\n    \"QMP\": {\r\n        \"version\": {\r\n").And.EndWith(string.Join("\r\n", expected)));
    }
}
