import Glibc

/// The command: picks the subcommand, prints what went wrong, ends with its status.
@main
enum Main {
    static func main() {
        do throws(CommandFailure) {
            exit(try run())
        } catch {
            Diagnostics.complain(error.message)
            exit(error.status)
        }
    }

    private static func run() throws(CommandFailure) -> Int32 {
        let arguments = CommandArguments.ofProcess()
        guard let name = arguments.first else {
            Diagnostics.write(Help.overview, to: STDERR_FILENO)
            return ExitStatus.usage
        }
        let rest = Array(arguments.dropFirst())
        switch name.text {
        case "run": return try RunCommand.run(rest)
        case "record": return try RecordCommand.run(rest)
        case "stat": return try StatCommand.run(rest)
        case "replay": return try ReplayCommand.run(rest)
        case "compare": return try CompareCommand.run(rest)
        case "kpi": return try KPICommand.run(rest)
        case "doctor": return try DoctorCommand.run(rest)
        case "generate": return try GenerateCommand.run(rest)
        case "trace": return try TraceCommand.run(rest)
        case RingTrial.argument: return RingTrial.runInThisProcess()
        case PoolProbe.argument: return PoolProbeActions.run(rest)
        case "help", "--help", "-h":
            Diagnostics.write(Help.overview, to: STDOUT_FILENO)
            return ExitStatus.success
        case "--version", "-V":
            Diagnostics.write("iotrap \(Version.text)\n", to: STDOUT_FILENO)
            return ExitStatus.success
        default:
            throw .usage(
                "unknown command '\(name.text)'; valid commands: run, stat, doctor, record, "
                    + "generate, trace, replay, compare, kpi, help, --version"
            )
        }
    }
}
