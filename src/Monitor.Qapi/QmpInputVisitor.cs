namespace Monitor.Qapi;

/// <summary>Walks one parsed value for the generated readers and writes every argument error.</summary>
public sealed class QmpInputVisitor
{
#pragma warning disable CS1591, CA1822
    public void StartStruct(string? name) => throw new NotSupportedException();

    public void CheckStruct() => throw new NotSupportedException();

    public void EndStruct() => throw new NotSupportedException();

    public bool HasMember(string name) => throw new NotSupportedException();

    public string ReadString(string? name) => throw new NotSupportedException();

    public bool ReadBool(string? name) => throw new NotSupportedException();

    public long ReadInt64(string? name) => throw new NotSupportedException();

    public int ReadInt32(string? name) => throw new NotSupportedException();

    public short ReadInt16(string? name) => throw new NotSupportedException();

    public sbyte ReadInt8(string? name) => throw new NotSupportedException();

    public ulong ReadUInt64(string? name) => throw new NotSupportedException();

    public uint ReadUInt32(string? name) => throw new NotSupportedException();

    public ushort ReadUInt16(string? name) => throw new NotSupportedException();

    public byte ReadUInt8(string? name) => throw new NotSupportedException();

    public ulong ReadSize(string? name) => throw new NotSupportedException();

    public double ReadNumber(string? name) => throw new NotSupportedException();

    public void ReadNull(string? name) => throw new NotSupportedException();

    public QmpValueKind PeekKind(string? name) => throw new NotSupportedException();

    public void StartList(string? name) => throw new NotSupportedException();

    public bool NextItem() => throw new NotSupportedException();

    public void EndList() => throw new NotSupportedException();

    public QmpException InvalidEnum(string? name, string value) => throw new NotSupportedException();

    public QmpException InvalidAlternate(string? name, string expected) => throw new NotSupportedException();

    public string PathOf(string? name) => throw new NotSupportedException();
#pragma warning restore CS1591, CA1822
}
