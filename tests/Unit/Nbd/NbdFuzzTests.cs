using Monitor.Nbd;
using NUnit.Framework;

namespace Unit.Nbd;

/// <summary>Whatever a client sends, the server lives and serves the others.</summary>
public sealed class NbdFuzzTests
{
    private const int Inputs = 1000;

    [TestCase(1)]
    [TestCase(2)]
    [TestCase(3)]
    public void Garbage_harms_nobody(int seed)
    {
        var random = new Random(seed);
        using var host = new NbdHost();
        using NbdScriptedClient sane = host.Connect().Go(NbdMetaContextName.BaseAllocation);
        for (uint i = 0; i < Inputs; i++)
        {
            using (NbdScriptedClient client = host.Connect())
            {
                SendGarbage(client, random);
            }

            ulong offset = (ulong)random.Next(4096);
            byte[] payload = [(byte)i, (byte)(i >> 8), (byte)seed];
            sane.Send(NbdCommand.Write, offset, 3, payload: payload, cookie: i);
            Assert.That(sane.ReadSimple(), Is.EqualTo(new NbdSimpleReply(NbdError.None, i)), $"seed {seed}, input {i}");
            sane.Send(NbdCommand.Read, offset, 3, NbdCommandFlags.DontFragment, cookie: i);
            Assert.That(sane.ReadChunk().Header.Cookie, Is.EqualTo(i), $"seed {seed}, input {i}");
        }

        NbdHost.Await(() => host.Server.ConnectionCount == 1, $"seed {seed}: a connection stayed");
    }

    private static void SendGarbage(NbdScriptedClient client, Random random)
    {
        try
        {
            switch (random.Next(4))
            {
                case 0:
                    client.Stream.Write(Bytes(random, random.Next(200)));
                    break;
                case 1:
                    NbdClientHandshake.Begin(client.Stream);
                    SendOptions(client, random);
                    break;
                case 2:
                    client.Go(NbdMetaContextName.BaseAllocation).Stream.Write(Bytes(random, random.Next(200)));
                    break;
                default:
                    client.Go(NbdMetaContextName.BaseAllocation);
                    SendRequests(client, random);
                    break;
            }
        }
        catch (IOException)
        {
            // The server had enough.
        }
    }

    private static void SendOptions(NbdScriptedClient client, Random random)
    {
        for (int i = random.Next(6); i > 0; i--)
        {
            byte[] data = Bytes(random, random.Next(64));
            byte[] header = new byte[NbdOptionHeader.Size];
            uint length = random.Next(4) == 0 ? (uint)random.NextInt64(uint.MaxValue) : (uint)data.Length;
            new NbdOptionHeader((NbdOption)random.Next(12), length).Write(header);
            client.Stream.Write(header);
            client.Stream.Write(data);
        }
    }

    /// <summary>Requests that never touch the first 8 KiB, which the sane session uses.</summary>
    private static void SendRequests(NbdScriptedClient client, Random random)
    {
        for (int i = random.Next(20); i > 0; i--)
        {
            byte[] header = new byte[NbdRequestHeader.Size];
            uint length = random.Next(3) == 0 ? (uint)random.NextInt64(uint.MaxValue) : (uint)random.Next(200_000);
            ulong offset = random.Next(3) == 0 ? (ulong)random.NextInt64() : (ulong)random.Next(8192, NbdHost.SizeBytes);
            new NbdRequestHeader((NbdCommandFlags)random.Next(64), (NbdCommand)random.Next(10), (ulong)i, offset, length).Write(header);
            client.Stream.Write(header);
        }
    }

    private static byte[] Bytes(Random random, int count)
    {
        byte[] bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }
}
