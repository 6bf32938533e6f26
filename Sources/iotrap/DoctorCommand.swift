import Glibc

/// `iotrap doctor`: whether the library can accelerate anything here, and what to do if not.
enum DoctorCommand {
    static func run(_ arguments: [ByteString]) throws(CommandFailure) -> Int32 {
        var reader = OptionReader(arguments, command: "doctor", valid: "--help")
        while let (name, _) = reader.next() {
            guard name == "--help" || name == "-h" else { throw reader.unknown(name) }
            Diagnostics.write(Help.overview, to: STDOUT_FILENO)
            return ExitStatus.success
        }
        if let operand = reader.nextOperand() {
            throw .usage("doctor takes no argument, not '\(operand.text)'; write iotrap doctor")
        }
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
