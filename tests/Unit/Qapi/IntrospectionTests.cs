using System.Text;
using System.Text.Json;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qapi;

public sealed class IntrospectionTests
{
    private static readonly string[] s_references = ["arg-type", "ret-type", "element-type", "type"];

    [Test]
    public void Every_type_that_the_schema_answer_refers_to_is_in_it_once()
    {
        using JsonDocument schema = JsonDocument.Parse(QapiSchema.Introspection.ToArray());
        List<string> names = [.. schema.RootElement.EnumerateArray().Select(entry => entry.GetProperty("name").GetString()!)];
        Assert.That(names, Is.Unique);
        Assert.That(References(schema.RootElement).Distinct(), Is.SubsetOf(names));
    }

    [Test]
    public void The_schema_answer_is_one_line_that_shipped_clients_can_hold()
    {
        string answer = Encoding.UTF8.GetString(QapiSchema.Introspection);
        Assert.That(answer, Does.Not.Contain("\n"));
        Assert.That(answer, Has.Length.LessThan(256 * 1024));
    }

    private static IEnumerable<string> References(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Array => element.EnumerateArray().SelectMany(References),
        JsonValueKind.Object => element.EnumerateObject().SelectMany(property =>
            s_references.Contains(property.Name) && property.Value.ValueKind == JsonValueKind.String
                ? [property.Value.GetString()!]
                : References(property.Value)),
        _ => [],
    };
}
