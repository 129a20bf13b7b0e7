using Monitor.Qapi.Json;

namespace Monitor.Qmp;

/// <summary>One request from its parsed text to its reply (QMP specification, section 2.3 "Issuing Commands").</summary>
/// <remarks>Owned by one session; reused for the next request unless its command did not complete in its first turn.</remarks>
internal sealed class QmpRequest
{
    private static readonly JsonTape s_noArguments = JsonStreamParser.Parse("{}"u8);

    private readonly QmpSession _session;

    private readonly QmpInputVisitor _arguments = new(s_noArguments);

    private int _command;

    private int _argumentsToken;

    /// <summary>Makes a request that is ready to be parsed into.</summary>
    /// <param name="session">Whose it is.</param>
    public QmpRequest(QmpSession session)
    {
        _session = session;
        Reply = new QmpReply(session);
    }

    /// <summary>The request's text.</summary>
    public JsonTape Tape { get; } = new();

    /// <summary>What the parser said; <see langword="null"/> when <see cref="Tape"/> holds a value.</summary>
    public string? ParseError { get; set; }

    /// <summary>The reply in the making.</summary>
    public QmpReply Reply { get; }

    /// <summary>The descriptors that had come when it was complete, for the command to take.</summary>
    public ReceivedDescriptors? Descriptors { get; set; }

    /// <summary>Asks to overtake the commands before it (<c>exec-oob</c>).</summary>
    public bool IsOutOfBand { get; set; }

    /// <summary>The command did not complete in its first turn.</summary>
    public bool IsPending { get; private set; }

    /// <summary>What the name was found to be.</summary>
    public QmpCommand? Command { get; set; }

    /// <summary>The command's name.</summary>
    public ReadOnlySpan<byte> CommandName => Tape.TextOf(_command);

    /// <summary>The command's name as a string, for error texts.</summary>
    public string CommandNameText => Tape.StringOf(_command);

    /// <summary>Whether the text has <c>exec-oob</c> and not <c>execute</c>.</summary>
    public bool HasOutOfBandForm => ParseError is null && FindMember("exec-oob"u8) > 0 && FindMember("execute"u8) < 0;

    /// <summary>Checks the envelope and begins the reply.</summary>
    /// <param name="allowOutOfBand">The client has enabled the capability.</param>
    /// <exception cref="QmpException">The text is no request.</exception>
    public void Open(bool allowOutOfBand)
    {
        IsPending = false;
        Reply.Begin();
        if (ParseError is not null)
        {
            throw new QmpException(ParseError);
        }

        if (Tape.KindOf(0) != JsonTokenKind.Dict)
        {
            throw new QmpException("QMP input must be a JSON object");
        }

        if (FindMember("id"u8) is > 0 and var id)
        {
            Reply.SetId(Tape, id);
        }

        ReadMembers(allowOutOfBand);
    }

    /// <summary>The arguments, positioned at their object.</summary>
    public QmpInputVisitor OpenArguments()
    {
        bool isGiven = _argumentsToken > 0;
        _arguments.Reset(isGiven ? Tape : s_noArguments, isGiven ? _argumentsToken : 0);
        return _arguments;
    }

    /// <summary>Runs the command up to its end or its first wait.</summary>
    /// <exception cref="QmpException">The command's error.</exception>
    public void RunFirstTurn()
    {
        DescriptorNames names = _session.DescriptorNames;
        ValueTask work = names.IsEmpty ? Command!.Handler(OpenArguments(), Reply) : names.Run(() => Command!.Handler(OpenArguments(), Reply));
        if (work.IsCompleted)
        {
            work.GetAwaiter().GetResult();
            return;
        }

        IsPending = true;
        _session.NotePending(this);
        _ = FinishAsync(work);
    }

    private async Task FinishAsync(ValueTask work)
    {
        try
        {
            await work;
        }
        catch (QmpException e)
        {
            Reply.SetError(e.ErrorClass, e.Message);
        }
        catch (Exception e)
        {
            _session.Fail(this, e);
        }

        _session.Complete(this);
    }

    private void ReadMembers(bool allowOutOfBand)
    {
        _command = 0;
        _argumentsToken = 0;
        int end = Tape.EndOf(0);
        for (int key = 1; key < end; key = Tape.EndOf(key + 1))
        {
            var name = Tape.TextOf(key);
            if (name.SequenceEqual("execute"u8) || (allowOutOfBand && name.SequenceEqual("exec-oob"u8)))
            {
                ReadCommand(key);
            }
            else if (name.SequenceEqual("arguments"u8))
            {
                _argumentsToken = Tape.KindOf(key + 1) == JsonTokenKind.Dict
                    ? key + 1
                    : throw new QmpException("QMP input member 'arguments' must be an object");
            }
            else if (!name.SequenceEqual("id"u8))
            {
                throw new QmpException($"QMP input member '{Tape.StringOf(key)}' is unexpected");
            }
        }

        if (_command == 0)
        {
            throw new QmpException("QMP input lacks member 'execute'");
        }
    }

    private void ReadCommand(int key)
    {
        if (Tape.KindOf(key + 1) != JsonTokenKind.String)
        {
            throw new QmpException($"QMP input member '{Tape.StringOf(key)}' must be a string");
        }

        if (_command != 0)
        {
            throw new QmpException("QMP input member 'execute' clashes with 'exec-oob'");
        }

        _command = key + 1;
    }

    private int FindMember(ReadOnlySpan<byte> name)
    {
        if (Tape.KindOf(0) != JsonTokenKind.Dict)
        {
            return -1;
        }

        int end = Tape.EndOf(0);
        for (int key = 1; key < end; key = Tape.EndOf(key + 1))
        {
            if (Tape.TextOf(key).SequenceEqual(name))
            {
                return key + 1;
            }
        }

        return -1;
    }
}
