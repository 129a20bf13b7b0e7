using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator.Emit;

/// <summary>Emits <c>QapiErrors</c>: the table of error codes.</summary>
internal static class ErrorEmitter
{
    public static void Emit(CodeWriter code, Schema schema)
    {
        code.Summary("The codes of errors with the descriptions they cover.").Open("public static class QapiErrors");
        code.Summary("In the order in which they are tried; <c>*</c> stands for anything.");
        code.Open("public static IReadOnlyList<(string Code, string Text)> All { get; } = new[]");
        foreach ((ErrorCode error, string text) in schema.Errors.SelectMany(error => error.Texts.Select(text => (error, text))))
        {
            code.Line($"(\"{error.Name}\", \"\"\"{text}\"\"\"),");
        }

        code.Close(";").Close();
    }
}
