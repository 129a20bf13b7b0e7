using System.Text;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Changes of the header that a client asks for.</summary>
public sealed partial class Qcow2Node
{
    /// <summary>The longest backing file name (qcow2 spec), in bytes of UTF-8.</summary>
    private const int MaximumBackingNameBytes = 1023;

    /// <inheritdoc/>
    public override bool SupportsBacking => true;

    /// <inheritdoc/>
    public override async ValueTask ChangeBackingFileAsync(BackingImage? backing)
    {
        if (backing is not null && Encoding.UTF8.GetByteCount(backing.FileName) > MaximumBackingNameBytes)
        {
            throw new BlockIoException(Errno.EINVAL);
        }

        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            _image.ThrowIfCorrupt();
            (string? name, byte[]? format) = (_image.Header.BackingFile, _image.Header.Find(Qcow2HeaderExtension.BackingFormat));
            SetBacking(backing?.FileName, backing?.Format is { } word ? Encoding.UTF8.GetBytes(word) : null);
            try
            {
                await _image.Header.SwitchAsync(_image.File).ConfigureAwait(false);
            }
            catch (BlockIoException)
            {
                SetBacking(name, format);
                throw;
            }
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    /// <inheritdoc/>
    /// <remarks><c>l2-cache-entry-size</c> holds from the next open on.</remarks>
    protected internal override void Reconfigure(BlockdevOptions? options)
    {
        BlockdevOptionsQcow2? qcow2 = options?.Qcow2;
        RefuseWhatVersion2Lacks(qcow2, Header);
        _image.SetCacheSizes(Qcow2CacheSizes.From(qcow2, Header));
        _image.OverlapChecks = Qcow2OverlapSelection.From(qcow2?.OverlapCheck);
        _image.Discards = Qcow2DiscardPolicy.From(qcow2, Settings.DiscardUnmap);
        _cleaner?.SetInterval(CleanInterval(qcow2));
    }

    private void SetBacking(string? name, byte[]? format)
    {
        _image.Header.BackingFile = name;
        _image.Header.Set(Qcow2HeaderExtension.BackingFormat, format);
    }
}
