import Glibc
import IOTrapEngine

/// `iotrap run`: starts a program with the library preloaded.
enum RunCommand {
    static func run(_ arguments: [ByteString]) throws(CommandFailure) -> Int32 {
        var settings = Settings()
        var reader = OptionReader(
            arguments, command: "run", valid: "--mode, --set, --pool, --config, --stats, --help, --"
        )
        while let (name, value) = reader.next() {
            switch name {
            case "--mode": settings.mode = try reader.value(of: name, value)
            case "--set": settings.items.append(try reader.value(of: name, value))
            case "--pool": settings.poolItems.append(try reader.value(of: name, value))
            case "--config": settings.file = try reader.value(of: name, value)
            case "--stats":
                try reader.refuseValue(of: name, value)
                settings.showsStatistics = true
            case "--help", "-h":
                Diagnostics.write(Help.overview, to: STDOUT_FILENO)
                return ExitStatus.success
            default: throw reader.unknown(name)
            }
        }
        var environment = Environment.ofProcess()
        let configuration = try settings.apply(to: &environment)
        guard let program = reader.rest.first else {
            throw .usage("no program given; write iotrap run [OPTION]... -- PROGRAM [ARGUMENT]...")
        }
        let library = try Library.find()
        var target = try Target(finding: program, path: environment["PATH"])
        try target.check(against: library)
        for warning in target.warnings { Diagnostics.complain(warning) }
        if !settings.pools.isEmpty, let mounts = PoolMounts.ofProcess() {
            for line in PoolWarnings(mounts: mounts).lines(for: settings.pools) {
                Diagnostics.complain(line)
            }
        }
        environment.set("LD_PRELOAD", library.preload(before: environment["LD_PRELOAD"]))

        let launch = { (environment: Environment) in
            Launch(path: target.path, arguments: reader.rest, environment: environment)
        }
        if !settings.showsStatistics { try launch(environment).replaceThisProcess() }
        let collection = StatisticsCollection(environment: &environment)
        let child = try SupervisedChild(launch(environment))
        let status = child.waitForEnd()
        collection?.report(of: child.processID, mode: configuration.mode)
        return status
    }
}
