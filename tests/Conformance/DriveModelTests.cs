using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>A machine's disk is edited at random by real commands while clients of its export play the guest: beside a model of the graph and a copy of every byte.</summary>
public sealed class DriveModelTests
{
    private const int Steps = 40;

    [Test]
    [CancelAfter(120_000)]
    public async Task A_guest_loses_nothing_whatever_is_done_to_its_drive([Values(1, 2)] int seed, [Values] bool isRemovable)
    {
        using var directory = new TemporaryDirectory();
        string dir = directory.Path;
        var random = new Random(seed);
        await using DaemonProcess daemon = DaemonProcess.Start(directory, DriveModel.MakeDisk(dir, isRemovable));
        using QmpTestClient qmp = await daemon.ConnectAsync();
        var machine = new DriveModel(qmp, dir, isRemovable);
        await machine.ExportAsync();
        var guests = new TwinGuest[] { new(dir, 0, seed), new(dir, 1, seed) };
        Task[] runs = [.. guests.Select(guest => Task.Run(() => guest.Run(machine)))];
        for (int i = 0; i < Steps; i++)
        {
            string name = $"seed {seed}, step {i}: {await machine.StepAsync(random)}";
            await machine.CheckAsync(name);
            Assert.That(runs, Has.None.Property(nameof(Task.IsFaulted)).True, $"{name}: {string.Join(' ', runs.Select(run => run.Exception?.InnerException?.Message))}");
        }

        machine.HasEnded = true;
        await Task.WhenAll(runs);
        Assert.That(guests, Has.All.Property(nameof(TwinGuest.Requests)).GreaterThan(20), "they were at it all the time");
        using (var client = new NbdTestClient($"{dir}/nbd", "guest"))
        {
            byte[] content = new byte[DriveModel.GuestBytes];
            Assert.That(client.Read(0, content), Is.Zero);
            Assert.That(content.AsSpan().SequenceEqual((byte[])[.. guests[0].Twin, .. guests[1].Twin]), $"seed {seed}");
        }

        await machine.CheckFrozenAsync($"seed {seed}");
        await qmp.ExecuteAsync("quit");
        await daemon.WaitForExitAsync();
        Assert.That(Tool.Run("bash", "-ec", $"for i in {dir}/o*; do qemu-img check -q $i; done"), Is.Empty);
    }
}
