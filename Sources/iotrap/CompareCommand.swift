import Glibc
import IOReplay

/// `iotrap compare`: results of replays side by side.
enum CompareCommand {
    static func run(_ arguments: [ByteString]) throws(CommandFailure) -> Int32 {
        var files: [String] = []
        var isJSON = false
        var reader = OptionReader(arguments, command: "compare", valid: "--json, --help")
        while !reader.rest.isEmpty {
            if let (name, value) = reader.next() {
                switch name {
                case "--json":
                    try reader.refuseValue(of: name, value)
                    isJSON = true
                case "--help", "-h":
                    Diagnostics.write(ReplayHelp.compare, to: STDOUT_FILENO)
                    return ExitStatus.success
                default: throw reader.unknown(name)
                }
            } else if let file = reader.nextOperand() {
                files.append(file.text)
            }
        }
        if files.count < 2 {
            throw .usage(
                "\(files.isEmpty ? "no results" : "nothing to compare with") given; write iotrap "
                    + "compare A.json B.json, with files written by iotrap replay --json")
        }
        do throws(ReplayError) {
            let comparison = try ReplayComparison(files: files)
            Diagnostics.write(
                isJSON ? comparison.json : comparison.text, to: STDOUT_FILENO)
        } catch {
            throw .usage(error.description)
        }
        return ExitStatus.success
    }
}
