import Glibc

/// `iotrap doctor`: whether the library can accelerate anything here, and what to do if not; and
/// with `--pool`, whether mount pools are what they are said to be.
enum DoctorCommand {
    static func run(_ arguments: [ByteString]) throws(CommandFailure) -> Int32 {
        let valid = "--pool, --measure, --within, --help"
        var reader = OptionReader(arguments, command: "doctor", valid: valid)
        var selection: PoolSelection?
        var measures = false
        var seconds = 5.0
        while let (name, value) = reader.next() {
            switch name {
            case "--pool": selection = try poolSelection(value, &reader)
            case "--measure":
                try reader.refuseValue(of: name, value)
                measures = true
            case "--within": seconds = try bound(try reader.value(of: name, value))
            case "--help", "-h":
                Diagnostics.write(Help.overview, to: STDOUT_FILENO)
                return ExitStatus.success
            default: throw reader.unknown(name)
            }
        }
        if let operand = reader.nextOperand() {
            throw .usage("doctor takes no argument, not '\(operand.text)'; write iotrap doctor")
        }
        if let selection {
            return check(try selection.pools(of: .ofProcess()), seconds, measures)
        }
        if measures { throw .usage("--measure is about a pool; add --pool") }
        return checkMachine()
    }

    /// `--pool` alone, `--pool=NAME`, `--pool=NAME:/PATH,/PATH`, or the value as the next argument.
    private static func poolSelection(
        _ attached: ByteString?, _ reader: inout OptionReader
    ) throws(CommandFailure) -> PoolSelection {
        var value = attached
        if value == nil, let next = reader.rest.first, next.bytes.first != UInt8(ascii: "-") {
            value = reader.nextOperand()
        }
        if value?.isEmpty == true {
            throw .usage("--pool has an empty name; write --pool, --pool=NAME or --pool=NAME:/PATH")
        }
        return PoolSelection(value: value)
    }

    private static func bound(_ value: ByteString) throws(CommandFailure) -> Double {
        guard let seconds = Double(value.text), seconds >= 0.1, seconds <= 600 else {
            throw .usage("wrong value '\(value.text)' of --within; write seconds, 0.1 to 600")
        }
        return seconds
    }

    private static func check(
        _ pools: [Pool], _ seconds: Double, _ measures: Bool
    ) -> Int32 {
        var fails = false
        for pool in pools {
            let checks = PoolChecks(pool: pool, seconds: seconds)
            for finding in checks.findings(measures: measures) {
                print(finding)
                if finding.level == .fail { fails = true }
            }
        }
        let many = pools.count > 1
        Diagnostics.write(
            fails
                ? "\n\(many ? "not every pool works" : "the pool does not work") as it is\n"
                : "\n\(many ? "the pools work" : "the pool works")\n", to: STDOUT_FILENO)
        return fails ? ExitStatus.nothing : ExitStatus.success
    }

    private static func checkMachine() -> Int32 {
        let setup = SetupChecks(environment: .ofProcess())
        let (configuration, settings) = setup.settings()
        let kernel = KernelChecks(insistsOnRing: configuration.insistsOnRing)
        let findings =
            kernel.findings()
            + AsyncChecks(kernel: kernel, configuration: configuration).findings()
            + setup.libraries() + settings + [setup.statistics()]
        for finding in findings { print(finding) }
        let fails = findings.contains { $0.level == .fail } || !kernel.allowsRings
        Diagnostics.write(
            fails
                ? "\npass-through only: programs run unharmed and nothing is accelerated\n"
                : "\nacceleration works here\n", to: STDOUT_FILENO)
        return fails ? ExitStatus.nothing : ExitStatus.success
    }

    private static func print(_ finding: Finding) {
        let level = padded(finding.level.rawValue, to: 6)
        var text = level + padded(finding.subject, to: 12) + finding.detail + "\n"
        if let remedy = finding.remedy {
            text += String(repeating: " ", count: 18) + "-> " + remedy + "\n"
        }
        Diagnostics.write(text, to: STDOUT_FILENO)
    }

    private static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }
}
