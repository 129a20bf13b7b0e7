using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>A guest with a half of the disk for itself, which knows what every byte must be.</summary>
/// <param name="directory">Where the server listens.</param>
/// <param name="half">Which half: 0 or 1.</param>
/// <param name="seed">What it does.</param>
internal sealed class TwinGuest(string directory, int half, int seed)
{
    private const int HalfBytes = DriveModel.GuestBytes / 2;
    private const int MaximumBytes = 96 << 10;

    private readonly Random _random = new((seed * 100) + half);

    /// <summary>What its half must hold.</summary>
    public byte[] Twin { get; } = new byte[HalfBytes];

    /// <summary>How many requests it has had answered.</summary>
    public int Requests { get; private set; }

    /// <summary>Reads and writes until the model says that it is enough.</summary>
    public void Run(DriveModel machine)
    {
        using var client = new NbdTestClient(Path.Combine(directory, "nbd"), "guest");
        while (!machine.HasEnded)
        {
            int length = _random.Next(1, MaximumBytes);
            int offset = _random.Next(HalfBytes - length);
            Action<int, int> request = _random.Next(5) switch
            {
                0 or 1 => (at, bytes) => Write(client, machine, at, bytes),
                2 => (at, bytes) => Zero(client, machine, at, bytes),
                3 => (_, _) => Repeat(client.Flush, machine),
                _ => (at, bytes) => Check(client, machine, at, bytes),
            };
            request(offset, length);
            Requests++;
        }

        Check(client, machine, 0, HalfBytes);
    }

    private static int Position(int offset, int half) => (half * HalfBytes) + offset;

    /// <summary>Does a request again as long as there is no medium for it.</summary>
    private static void Repeat(Func<int> request, DriveModel machine)
    {
        while (true)
        {
            long changes = machine.MediaChanges;
            int error = request();
            if (error == 0)
            {
                return;
            }

            Assert.That(changes % 2 == 1 || machine.MediaChanges != changes, $"errno {error} with a medium in place");
            Thread.Yield();
        }
    }

    private void Write(NbdTestClient client, DriveModel machine, int offset, int length)
    {
        Span<byte> bytes = Twin.AsSpan(offset, length);
        _random.NextBytes(bytes);
        Repeat(() => client.Write(Position(offset, half), Twin.AsSpan(offset, length)), machine);
    }

    private void Zero(NbdTestClient client, DriveModel machine, int offset, int length)
    {
        Twin.AsSpan(offset, length).Clear();
        Repeat(() => client.WriteZeroes(Position(offset, half), length), machine);
    }

    private void Check(NbdTestClient client, DriveModel machine, int offset, int length)
    {
        byte[] seen = new byte[length];
        Repeat(() => client.Read(Position(offset, half), seen), machine);
        Assert.That(seen.AsSpan().CommonPrefixLength(Twin.AsSpan(offset, length)), Is.EqualTo(length), $"half {half}, offset {offset}");
    }
}
