import Glibc
import IOTrapStats

/// `iotrap stat`: prints what the library counted in one process.
enum StatCommand {
    static func run(_ arguments: [ByteString]) throws(CommandFailure) -> Int32 {
        var isJSON = false
        var reader = OptionReader(arguments, command: "stat", valid: "--json, --help")
        let operands = try reader.operands(help: Help.overview) {
            (name, value, reader) throws(CommandFailure) in
            if name != "--json" { throw reader.unknown(name) }
            try reader.refuseValue(of: name, value)
            isJSON = true
        }
        guard let names = operands else { return ExitStatus.success }
        guard names.count == 1 else {
            throw .usage(
                names.isEmpty
                    ? "no process given; write iotrap stat PID or iotrap stat last"
                    : "one process at a time, not '\(names[1])' as well; run iotrap stat again")
        }
        let snapshot = try find(names[0])
        let state = snapshot.header.state
        let text =
            isJSON ? Report.json(snapshot, state: state) : Report(snapshot, state: state).text
        Diagnostics.write(text, to: STDOUT_FILENO)
        return ExitStatus.success
    }

    private static func find(_ name: String) throws(CommandFailure) -> Snapshot {
        let variable = getenv("IOTRAP_STATS_DIR").map { String(cString: $0) }
        let search = SegmentSearch(directory: variable)
        if name == "last" {
            let (found, problems) = search.last()
            // A missing directory says no more than that there is nothing.
            for problem in problems where problem.reason != .missing {
                Diagnostics.complain("passed over: \(problem)")
            }
            if let found { return found.snapshot }
            throw CommandFailure(
                message: "no process under iotrap has made a file call yet (looked in "
                    + "\(search.roots.joined(separator: ", "))); start one with iotrap run",
                status: ExitStatus.nothing)
        }
        guard let processID = Int32(name), processID > 0 else {
            throw .usage("'\(name)' is no process ID; write a number above 0, or last")
        }
        do throws(SegmentError) {
            if let found = try search.segment(of: processID) { return found.snapshot }
        } catch {
            throw CommandFailure(message: "\(error)", status: ExitStatus.nothing)
        }
        throw CommandFailure(
            message: "nothing about process \(processID): "
                + Absence.explanation(for: processID, searched: search.roots),
            status: ExitStatus.nothing)
    }
}
