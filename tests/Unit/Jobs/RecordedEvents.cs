using System.Text.Json;
using System.Text.Json.Nodes;
using Monitor.Qapi;
using Monitor.Qapi.Json;

namespace Unit.Jobs;

/// <summary>Keeps every event in short form (<c>m running</c>, <c>BLOCK_JOB_READY</c>) and in full, and lets a test wait for one.</summary>
internal sealed class RecordedEvents : IEventSink
{
    private readonly Lock _lock = new();
    private readonly List<string> _short = [];
    private readonly List<string> _full = [];
    private readonly List<(string Event, TaskCompletionSource Seen)> _waiting = [];

    public void Emit<TData>(string name, TData? data)
        where TData : class, IQapiOutput
    {
        var writer = new JsonWriter();
        data!.Write(writer);
        string json = JsonNode.Parse(writer.ToString())!.ToJsonString();
        using JsonDocument document = JsonDocument.Parse(json);
        string entry = name == "JOB_STATUS_CHANGE"
            ? $"{document.RootElement.GetProperty("id")} {document.RootElement.GetProperty("status")}"
            : name;
        lock (_lock)
        {
            _short.Add(entry);
            _full.Add($"{name} {json}");
            foreach (var (expected, seen) in _waiting)
            {
                if (expected == entry)
                {
                    seen.TrySetResult();
                }
            }
        }
    }

    /// <summary>The events so far, in short form.</summary>
    public string[] Short()
    {
        lock (_lock)
        {
            return [.. _short];
        }
    }

    /// <summary>The data of the last event of that name.</summary>
    public string Data(string name)
    {
        lock (_lock)
        {
            return _full.FindLast(entry => entry.StartsWith(name + " ", StringComparison.Ordinal))?[(name.Length + 1)..] ?? "";
        }
    }

    /// <summary>Completes when the event was emitted <paramref name="times"/> times, or has been already.</summary>
    public async Task SeenAsync(string entry, int times = 1)
    {
        while (true)
        {
            TaskCompletionSource seen = new(TaskCreationOptions.RunContinuationsAsynchronously);
            lock (_lock)
            {
                if (_short.Count(e => e == entry) >= times)
                {
                    return;
                }

                _waiting.Add((entry, seen));
            }

            try
            {
                await seen.Task.WaitAsync(TimeSpan.FromSeconds(60)).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                throw new TimeoutException($"no '{entry}' after {string.Join(", ", Short())}");
            }
        }
    }
}
