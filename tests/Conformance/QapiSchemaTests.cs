using System.Text.Json;
using Monitor.Qapi;
using Monitor.Qapi.Generator;
using Monitor.Qapi.Generator.Emit;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Our introspected schema beside that of the real qemu-storage-daemon.</summary>
public sealed class QapiSchemaTests
{
    [Test]
    public async Task What_is_implemented_differs_from_the_storage_daemon_only_by_what_is_missing()
    {
        using JsonDocument ours = JsonDocument.Parse(QapiSchema.Introspection.ToArray());
        List<string> differences = await CompareAsync(ours);
        TestContext.Out.WriteLine(string.Join('\n', differences));
        IEnumerable<string> untrue = differences.Where(line => !line.StartsWith("missing ", StringComparison.Ordinal)).Except(Justified());
        Assert.That(string.Join('\n', untrue), Is.Empty);
    }

    [Test]
    public async Task What_is_declared_differs_from_the_storage_daemon_only_as_listed()
    {
        string schemaDirectory = Path.Combine(Repository.Root, "schema");
        using JsonDocument ours = JsonDocument.Parse(IntrospectionEmitter.Build(SchemaReader.ReadDirectory(schemaDirectory, withPlanned: true)));
        List<string> differences = await CompareAsync(ours);
        Assert.That(string.Join('\n', differences.Except(Justified())), Is.Empty, "not listed in QapiSchemaDifferences.txt");
        Assert.That(string.Join('\n', Justified().Except(differences)), Is.Empty, "listed, and no difference any more");
    }

    private static async Task<List<string>> CompareAsync(JsonDocument ours)
    {
        using JsonDocument theirs = await StorageDaemonSchema.QueryAsync();
        return SchemaWalk.Compare(ours.RootElement, theirs.RootElement);
    }

    /// <summary>The differences that stay, each below the line that says why.</summary>
    private static List<string> Justified() =>
        [.. File.ReadLines(Path.Combine(Repository.Root, "tests", "Conformance", "QapiSchemaDifferences.txt"))
            .Where(line => line.Length > 0 && !line.StartsWith('#'))];
}
