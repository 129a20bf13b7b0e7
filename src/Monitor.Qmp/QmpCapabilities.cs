namespace Monitor.Qmp;

/// <summary>Reads the arguments of <c>qmp_capabilities</c>, the one command that belongs to the session itself.</summary>
internal static class QmpCapabilities
{
    /// <summary>Reads the capabilities to enable.</summary>
    /// <param name="arguments">At the arguments object.</param>
    /// <returns>Whether out-of-band execution is among them.</returns>
    /// <exception cref="QmpException">The arguments are wrong.</exception>
    public static bool ReadArguments(QmpInputVisitor arguments)
    {
        bool enableOutOfBand = false;
        arguments.StartStruct(null);
        if (arguments.HasMember("enable"))
        {
            arguments.StartList("enable");
            while (arguments.NextItem())
            {
                string capability = arguments.ReadString(null);
                enableOutOfBand = capability == "oob" ? true : throw arguments.InvalidEnum(null, capability);
            }

            arguments.EndList();
        }

        arguments.CheckStruct();
        arguments.EndStruct();
        return enableOutOfBand;
    }
}
