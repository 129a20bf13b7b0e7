using Monitor.Qapi.Generator;
using Monitor.Qapi.Generator.Emit;
using Monitor.Qapi.Generator.Model;

if (args is not [string schemaDirectory, string outputDirectory])
{
    Console.Error.WriteLine("usage: Monitor.Qapi.Generator SCHEMA-DIRECTORY OUTPUT-DIRECTORY");
    return 2;
}

try
{
    Schema schema = SchemaReader.ReadDirectory(schemaDirectory);
    SchemaChecker.Check(schema);
    GeneratedSource.WriteAll(schema, outputDirectory);
    return 0;
}
catch (SchemaException error)
{
    // The form that MSBuild shows as an error of the build.
    Console.Error.WriteLine($"{error.Message.Split(':')[0]}: error QAPI: {error.Message}");
    return 1;
}
