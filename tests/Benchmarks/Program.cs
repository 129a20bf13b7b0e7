using BenchmarkDotNet.Running;
using Benchmarks.SideBySide;

return args switch
{
    ["side-by-side", .. var rest] => SideBySideProgram.Run(rest),
    ["micro", .. var rest] => RunMicro(rest),
    ["--help"] => Help(),
    _ => Usage(),
};

static int RunMicro(string[] arguments)
{
    BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(arguments);
    return 0;
}

static int Help()
{
    SideBySideProgram.PrintHelp(Console.Out);
    return 0;
}

static int Usage()
{
    Console.Error.WriteLine("""
        usage: side-by-side [--rounds N] [--only NAME,...] [--seconds S] OTHER OURS   compares two daemons, prints ratios
               micro [BenchmarkDotNet options]                                        measures single parts
        """);
    return 2;
}
