using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Monitor.Qmp;

/// <summary>A session over plain descriptors: a terminal, pipes, files.</summary>
/// <remarks>They stay in blocking mode, which they share with whoever else has them open; so poll(2) is asked before each call, and at
/// most what a pipe takes at once is written.</remarks>
/// <param name="name">For the log.</param>
/// <param name="input">Where requests come from; <see langword="null"/> when none ever do.</param>
/// <param name="output">Where replies go.</param>
internal sealed class DescriptorTransport(string name, SafeFileHandle? input, SafeFileHandle output) : QmpTransport
{
    /// <summary>A pipe that poll(2) calls writable takes this much (<c>PIPE_BUF</c>).</summary>
    private const int PipeBytes = 4096;

    /// <summary>How often a waiting sender looks whether the connection was ended.</summary>
    private const int LookMilliseconds = 100;

    private readonly SafeFileHandle _wake = new(Libc.Eventfd(0, Libc.EFD_CLOEXEC), ownsHandle: true);

    private volatile bool _isEnded;

    /// <inheritdoc/>
    public override bool EchoesInput { get; } = input is not null && Libc.IsTerminal(input) != 0;

    /// <inheritdoc/>
    public override int Receive(Span<byte> buffer)
    {
        if (!WaitForInput())
        {
            return 0;
        }

        nint received;
        do
        {
            received = Libc.Read(input!, ref MemoryMarshal.GetReference(buffer), buffer.Length);
        }
        while (received < 0 && Marshal.GetLastPInvokeError() == Libc.EINTR);
        return (int)Math.Max(received, 0);
    }

    /// <inheritdoc/>
    public override string DescribePeer() => name;

    /// <inheritdoc/>
    protected override void EndReceivingCore()
    {
        ulong one = 1;
        Libc.Write(_wake, in MemoryMarshal.AsBytes(new ReadOnlySpan<ulong>(in one))[0], sizeof(ulong));
    }

    /// <inheritdoc/>
    protected override void EndCore()
    {
        _isEnded = true;
        EndReceivingCore();
    }

    /// <inheritdoc/>
    protected override int SendCore(ReadOnlySpan<byte> bytes, bool isWaiting)
    {
        while (!_isEnded)
        {
            if (IsWritable(isWaiting ? LookMilliseconds : 0))
            {
                nint sent = Libc.Write(output, in MemoryMarshal.GetReference(bytes), Math.Min(bytes.Length, PipeBytes));
                if (sent >= 0)
                {
                    return (int)sent;
                }

                if (Marshal.GetLastPInvokeError() is not (Libc.EINTR or Libc.EAGAIN))
                {
                    return -1;
                }
            }

            if (!isWaiting)
            {
                return 0;
            }
        }

        return -1;
    }

    /// <inheritdoc/>
    protected override void Close()
    {
        if (input is not null)
        {
            DescriptorSets.Release(input);
            input.Dispose();
        }

        DescriptorSets.Release(output);
        output.Dispose();
        _wake.Dispose();
    }

    private bool WaitForInput()
    {
        Span<Libc.PollDescriptor> set =
        [
            new() { Descriptor = (int)_wake.DangerousGetHandle(), Wanted = Libc.POLLIN },
            new() { Descriptor = (int)(input?.DangerousGetHandle() ?? -1), Wanted = Libc.POLLIN },
        ];
        while (Libc.Poll(ref set[0], (nuint)set.Length, Timeout.Infinite) <= 0)
        {
            set[0].Found = 0;
        }

        return set[0].Found == 0;
    }

    private bool IsWritable(int milliseconds)
    {
        var set = new Libc.PollDescriptor { Descriptor = (int)output.DangerousGetHandle(), Wanted = Libc.POLLOUT };
        return Libc.Poll(ref set, 1, milliseconds) > 0;
    }
}
