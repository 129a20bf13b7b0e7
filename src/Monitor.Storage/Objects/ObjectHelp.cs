using System.Text;

namespace Monitor.Storage.Objects;

/// <summary>Tells a person what objects there are and what each takes.</summary>
public static class ObjectHelp
{
    /// <summary>Of a secret; it can be asked for and not given.</summary>
    private const string ReadOnlyProperty = "loaded";

    /// <summary>The options of a type; for another word, all types that can be made.</summary>
    public static string Describe(string typeName)
    {
        var types = QomType.All.Where(type => !type.IsAbstract && type.Implements("user-creatable")).OrderBy(type => type.Name, StringComparer.Ordinal).ToList();
        QomType? chosen = types.Find(type => type.Name == typeName);
        var text = new StringBuilder(chosen is null ? "List of user creatable objects:\n" : $"{chosen.Name} options:\n");
        IEnumerable<string> lines = chosen is null
            ? types.Select(type => type.Name)
            : chosen.Properties.Where(property => property.Name != ReadOnlyProperty).Select(property => $"{property.Name}=<{property.Type}>").Order(StringComparer.Ordinal);
        foreach (string line in lines)
        {
            text.Append("  ").Append(line).Append('\n');
        }

        return text.ToString();
    }
}
