using System.Text.Json;
using System.Text.Json.Nodes;

namespace Conformance;

/// <summary>A daemon's schema as <c>query-qmp-schema</c> tells it, to hold replies against.</summary>
internal sealed class IntrospectedSchema(JsonNode schema)
{
    private readonly Dictionary<string, JsonObject> _types =
        schema.AsArray().ToDictionary(entry => (string)entry!["name"]!, entry => entry!.AsObject());

    /// <summary>Where a command's return value is not of its type; <see langword="null"/> when it is.</summary>
    public string? FindMisfit(string command, JsonNode? value) => Misfit((string)_types[command]["ret-type"]!, value, "return");

    private static IEnumerable<JsonObject> Items(JsonObject type, string list) => type[list]?.AsArray().Select(item => item!.AsObject()) ?? [];

    private string? Misfit(string name, JsonNode? value, string path)
    {
        JsonObject type = _types[name];
        return (string?)type["meta-type"] switch
        {
            "builtin" => IsOfKind((string)type["json-type"]!, value) ? null : $"{path} is no {type["json-type"]}: {value}",
            "enum" => Items(type, "members").Any(member => (string?)member["name"] == (string?)value) ? null : $"{path} is no word of the enum: {value}",
            "array" => value is JsonArray list
                ? list.Select((item, i) => Misfit((string)type["element-type"]!, item, $"{path}[{i}]")).FirstOrDefault(misfit => misfit is not null)
                : $"{path} is no list",
            "alternate" => Items(type, "members").Any(choice => Misfit((string)choice["type"]!, value, path) is null) ? null : $"{path} fits no alternative",
            _ => value is JsonObject dict ? ObjectMisfit(type, dict, path) : $"{path} is no object",
        };
    }

    private string? ObjectMisfit(JsonObject type, JsonObject value, string path)
    {
        List<JsonObject> members = [.. Items(type, "members")];
        if ((string?)type["tag"] is { } tag)
        {
            JsonObject? variant = Items(type, "variants").FirstOrDefault(item => (string?)item["case"] == (string?)value[tag]);
            members.AddRange(variant is null ? [] : Items(_types[(string)variant["type"]!], "members"));
        }

        if (value.Select(member => member.Key).Except(members.Select(member => (string)member["name"]!)).FirstOrDefault() is { } unknown)
        {
            return $"{path}.{unknown} is not in the schema";
        }

        foreach (JsonObject member in members)
        {
            string name = (string)member["name"]!;
            if (!value.TryGetPropertyValue(name, out JsonNode? inner))
            {
                if (!member.ContainsKey("default"))
                {
                    return $"{path}.{name} is missing";
                }
            }
            else if (Misfit((string)member["type"]!, inner, $"{path}.{name}") is { } misfit)
            {
                return misfit;
            }
        }

        return null;
    }

    private static bool IsOfKind(string kind, JsonNode? value) => kind switch
    {
        "value" => true,
        "null" => value is null,
        "string" => value?.GetValueKind() == JsonValueKind.String,
        "boolean" => value?.GetValueKind() is JsonValueKind.True or JsonValueKind.False,
        "int" => value is JsonValue integer && (integer.TryGetValue(out long _) || integer.TryGetValue(out ulong _)),
        _ => value?.GetValueKind() == JsonValueKind.Number,
    };
}
