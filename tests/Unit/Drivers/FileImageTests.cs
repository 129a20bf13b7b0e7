using Monitor.Block.Drivers.File;
using Monitor.Block.Io;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Drivers;

public sealed class FileImageTests
{
    private TemporaryFile _file = null!;

    [SetUp]
    public void MakeFile() => _file = new TemporaryFile(10_000);

    [TearDown]
    public void RemoveFile() => _file.Dispose();

    [TestCase(PreallocMode.Off, 0)]
    [TestCase(PreallocMode.Falloc, 1 << 20)]
    [TestCase(PreallocMode.Full, 1 << 20)]
    public async Task A_file_gets_its_size_its_space_and_only_zeroes(PreallocMode mode, long allocated)
    {
        await File.WriteAllBytesAsync(_file.Name, [1, 2, 3]);

        await FileImage.CreateAsync(new BlockdevCreateOptionsFile { Filename = _file.Name, Size = 1 << 20, Preallocation = mode });

        PosixFile file = PosixFile.Open(_file.Name, FileOpenMode.Read);
        Assert.That(file.Status(), Has.Property("SizeBytes").EqualTo(1 << 20).And.Property("AllocatedBytes").GreaterThanOrEqualTo(allocated));
        file.Close();
        Assert.That(await File.ReadAllBytesAsync(_file.Name), Is.All.Zero);
    }

    [Test]
    public void A_directory_that_is_not_there_is_an_error() =>
        Assert.That(
            () => FileImage.CreateAsync(new BlockdevCreateOptionsFile { Filename = "/nonexistent/x", Size = 1 }),
            Refuses("Could not create '/nonexistent/x': No such file or directory"));

    [Test]
    public void A_size_beyond_what_files_can_have_is_an_error() =>
        Assert.That(
            () => FileImage.CreateAsync(new BlockdevCreateOptionsFile { Filename = _file.Name, Size = 1UL << 63 }),
            Refuses("Could not resize file: Invalid argument"));

    [Test]
    public void A_file_in_use_is_not_touched()
    {
        PosixFile user = PosixFile.Open(_file.Name, FileOpenMode.Write);
        new ImageLock(user, "x").Prepare(Monitor.Block.BlockPermission.Write, Monitor.Block.BlockPermission.Resize);

        Assert.That(
            () => FileImage.CreateAsync(new BlockdevCreateOptionsFile { Filename = _file.Name, Size = 1 }),
            Refuses("Failed to get \"resize\" lock"));

        Assert.That(new FileInfo(_file.Name).Length, Is.EqualTo(10_000));
        user.Close();
    }

    private static NUnit.Framework.Constraints.IResolveConstraint Refuses(string text) =>
        Throws.TypeOf<QmpException>().With.Message.EqualTo(text);
}
