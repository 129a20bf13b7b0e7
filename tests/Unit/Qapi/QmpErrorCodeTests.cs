using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qapi;

public sealed class QmpErrorCodeTests
{
    [TestCase("JSON parse error, expecting value", "json-invalid")]
    [TestCase("QMP input lacks member 'execute'", "request-invalid")]
    [TestCase("Expecting capabilities negotiation with 'qmp_capabilities'", "negotiation")]
    [TestCase("The command nosuch has not been found", "command-not-found")]
    [TestCase("The command quit does not support OOB", "oob-unsupported")]
    [TestCase("Parameter 'a.b' is missing", "parameter-missing")]
    [TestCase("Parameter 'a' is unexpected", "parameter-unexpected")]
    [TestCase("Invalid parameter type for 'a', expected: string", "parameter-type")]
    [TestCase("Parameter 'driver' does not accept value 'nodrv'", "parameter-value")]
    [TestCase("Cannot find device='' nor node-name='n'", "node-not-found")]
    [TestCase("Job not found", "job-not-found")]
    [TestCase("Dirty bitmap 'b' not found", "bitmap-not-found")]
    [TestCase("Export 'e' is not found", "export-not-found")]
    [TestCase("Bitmap already exists: b", "already-exists")]
    [TestCase("Node 'n' is busy: block device is in use by block job: mirror", "in-use")]
    [TestCase("Job 'm' in state 'running' cannot accept command verb 'complete'", "wrong-state")]
    [TestCase("Could not open '/none': No such file or directory", "open-failed")]
    [TestCase("Internal error (NullReferenceException); the session is closed", "internal")]
    [TestCase("Source and target image have different sizes", "refused")]
    [TestCase("", "refused")]
    public void An_error_has_the_code_of_the_first_text_that_fits(string description, string code) =>
        Assert.That(QmpErrorCode.Of(description), Is.EqualTo(code));

    [Test]
    public void Codes_are_words_and_the_last_text_fits_everything()
    {
        Assert.That(QapiErrors.All.Select(entry => entry.Code), Has.All.Matches("^[a-z]+(-[a-z]+)*$"));
        Assert.That(QapiErrors.All[^1], Is.EqualTo(("refused", "*")));
    }
}
