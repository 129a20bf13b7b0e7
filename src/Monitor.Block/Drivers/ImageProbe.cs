using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers;

/// <summary>Finds an image's format by its first bytes, where nobody has named it.</summary>
/// <remarks>A guest that can write a raw disk's first bytes can choose what is found: so only files that somebody chose not to describe are probed.</remarks>
public static class ImageProbe
{
    private static ReadOnlySpan<byte> Qcow2Magic => [(byte)'Q', (byte)'F', (byte)'I', 0xfb];

    /// <summary>The format: qcow2, or raw for everything else. Reads the file, so runs on a block thread.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="QmpException">The file cannot be opened.</exception>
    public static BlockdevDriver Probe(string path)
    {
        try
        {
            var file = PosixFile.Open(path, FileOpenMode.Read);
            try
            {
                Span<byte> magic = stackalloc byte[4];
                return file.Read(magic, 0) == magic.Length && magic.SequenceEqual(Qcow2Magic) ? BlockdevDriver.Qcow2 : BlockdevDriver.Raw;
            }
            finally
            {
                file.Close();
            }
        }
        catch (BlockIoException e)
        {
            throw new QmpException($"Could not open '{path}': {e.Message}");
        }
    }
}
