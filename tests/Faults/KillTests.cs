using System.Buffers.Binary;
using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Faults;

/// <summary>Kills the daemon at random moments, again and again, on one image, and checks what is left each time.</summary>
public sealed class KillTests
{
    private const int Kills = 100;
    private const int BlockBytes = 4096;
    private const int Blocks = 4096;
    private const int Granularity = 65536;
    private const string Bitmap = "b";

    /// <summary>Turns of the processor's pause: long enough that some quits come to their end.</summary>
    private const int LongestSpin = 4_000_000;

    [Test]
    public async Task Flushed_data_and_bitmaps_survive_a_hundred_random_kills([Values(20261121)] int seed)
    {
        using var directory = new TemporaryDirectory();
        string image = directory.File("disk.qcow2");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", image, $"{(long)Blocks * BlockBytes}");
        var run = new KillRun(directory, image, new Random(seed));
        for (int kill = 0; kill < Kills; kill++)
        {
            string context = $"seed {seed}, kill {kill}";
            await run.WriteUntilKilledAsync();
            run.CheckImage(context);
            run.CheckData(context);
            await run.CheckBitmapAsync(context);
        }

        Assert.That(run.ExactBitmaps, Is.GreaterThan(0), "some kill should have come after the bitmap was stored");
        Assert.That(run.InconsistentBitmaps, Is.GreaterThan(0), "some kill should have come while the bitmap was in use");
    }

    /// <summary>The image and what is known of it.</summary>
    private sealed class KillRun(TemporaryDirectory directory, string image, Random random)
    {
        private readonly long[] _issued = new long[Blocks];
        private readonly long[] _durable = new long[Blocks];
        private readonly HashSet<int> _surelyDirty = [];
        private readonly HashSet<int> _maybeDirty = [];
        private long _version;
        private bool _bitmapKnown;

        public int ExactBitmaps { get; private set; }

        public int InconsistentBitmaps { get; private set; }

        /// <summary>Starts the daemon, writes through NBD, and kills it: while it writes, or while it stores its bitmaps at quit.</summary>
        public async Task WriteUntilKilledAsync()
        {
            string nbd = directory.File("nbd");
            File.Delete(nbd);
            await using DaemonProcess daemon = DaemonProcess.Start(
                directory,
                "--blockdev",
                $"driver=qcow2,node-name=d,discard=unmap,file.driver=file,file.discard=unmap,file.filename={image}",
                "--nbd-server",
                $"addr.type=unix,addr.path={nbd}");
            using QmpTestClient qmp = await daemon.ConnectAsync();
            await RenewBitmapAsync(qmp);
            await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e", "node-name": "d", "writable": true}""");
            bool duringQuit = random.Next(3) == 0;
            Write(nbd, daemon, killAfter: duringQuit ? null : random.Next(1, 200));
            if (duringQuit)
            {
                await qmp.PostAsync("""{"execute": "quit"}""");
                Thread.SpinWait(random.Next(LongestSpin));
                daemon.Kill();
            }
        }

        public void CheckImage(string context)
        {
            ToolResult check = Tool.Try("qemu-img", "check", "-f", "qcow2", image);
            Assert.That(check.ExitCode, Is.Zero.Or.EqualTo(3), $"{context}: 3 means leaks, anything else is corruption\n{check.Output}{check.Error}");
        }

        /// <summary>Every block holds the last flushed version or one issued later.</summary>
        public void CheckData(string context)
        {
            string raw = directory.File("content.raw");
            Tool.Run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw);
            byte[] content = File.ReadAllBytes(raw);
            for (int block = 0; block < Blocks; block++)
            {
                long version = BinaryPrimitives.ReadInt64LittleEndian(content.AsSpan(block * BlockBytes));
                Assert.That(version, Is.InRange(_durable[block], _issued[block]), $"{context}: block {block}");
                Assert.That(
                    content.AsSpan(block * BlockBytes, BlockBytes).SequenceEqual(Block(block, version)), Is.True, $"{context}: block {block}, version {version}");
                _durable[block] = _issued[block] = version;
            }
        }

        /// <summary>The bitmap is absent (never stored), says that it is in use, or is exact.</summary>
        public async Task CheckBitmapAsync(string context)
        {
            JsonNode info = JsonNode.Parse(Tool.Run("qemu-img", "info", "--output=json", image))!;
            JsonArray? bitmaps = info["format-specific"]!["data"]!["bitmaps"]?.AsArray();
            if (bitmaps is not { Count: > 0 })
            {
                _bitmapKnown = false;
                return;
            }

            if (bitmaps[0]!["flags"]!.AsArray().Any(flag => (string?)flag == "in-use"))
            {
                InconsistentBitmaps++;
                _bitmapKnown = false;
                return;
            }

            ExactBitmaps++;
            var dirty = new HashSet<int>();
            foreach (var (offset, length) in await DirtyMap.ReadByQemuAsync(directory, image, Bitmap))
            {
                dirty.UnionWith(Enumerable.Range((int)(offset / Granularity), (int)((length + Granularity - 1) / Granularity)));
            }

            Assert.That(_bitmapKnown, Is.True, $"{context}: a valid bitmap that was never stored");
            Assert.That(dirty.IsSupersetOf(_surelyDirty), Is.True, $"{context}: bits are missing");
            Assert.That(dirty.IsSubsetOf(_maybeDirty), Is.True, $"{context}: bits were never written");
        }

        private static byte[] Block(int block, long version)
        {
            byte[] content = new byte[BlockBytes];
            if (version != 0)
            {
                new Random(unchecked((int)(version * 31 + block))).NextBytes(content);
                BinaryPrimitives.WriteInt64LittleEndian(content, version);
            }

            return content;
        }

        /// <summary>Keeps a bitmap that came back valid; one that is inconsistent or absent is made anew.</summary>
        private async Task RenewBitmapAsync(QmpTestClient qmp)
        {
            if (_bitmapKnown)
            {
                return;
            }

            await qmp.SendAsync("block-dirty-bitmap-remove", new JsonObject { ["node"] = "d", ["name"] = Bitmap });
            await qmp.ExecuteAsync("block-dirty-bitmap-add", $$"""{"node": "d", "name": "{{Bitmap}}", "persistent": true, "granularity": {{Granularity}}}""");
            _surelyDirty.Clear();
            _maybeDirty.Clear();
            _bitmapKnown = true;
        }

        private void Write(string nbd, DaemonProcess daemon, int? killAfter)
        {
            int writes = killAfter ?? random.Next(1, 60);
            using var client = new NbdTestClient(nbd, "d");
            Thread? killer = null;
            try
            {
                for (int i = 0; i < writes || killAfter is not null; i++)
                {
                    if (i == killAfter)
                    {
                        killer = new Thread(daemon.Kill);
                        killer.Start();
                    }

                    WriteOne(client, random.Next(Blocks));
                }
            }
            catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
            {
                Assert.That(killer, Is.Not.Null, $"the connection ended before the kill: {e.Message}; {daemon.Error}");
            }

            killer?.Join();
        }

        private void WriteOne(NbdTestClient client, int block)
        {
            long version = ++_version;
            _issued[block] = version;
            _maybeDirty.Add(block * BlockBytes / Granularity);
            Assert.That(client.Write((long)block * BlockBytes, Block(block, version)), Is.Zero);
            _surelyDirty.Add(block * BlockBytes / Granularity);
            if (random.Next(8) == 0)
            {
                long[] acknowledged = [.. _issued];
                Assert.That(client.Flush(), Is.Zero);
                acknowledged.CopyTo(_durable, 0);
            }
        }
    }
}
