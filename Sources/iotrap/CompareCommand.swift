import Glibc
import IOReplay

/// `iotrap compare`: results of replays side by side, or those of ranks joined.
enum CompareCommand {
    /// What the command line says.
    private struct Request {
        var files: [String] = []
        var isJSON = false
        var isMerge = false
        var output: String?
    }

    static func run(_ arguments: [ByteString]) throws(CommandFailure) -> Int32 {
        var request = Request()
        var reader = OptionReader(
            arguments, command: "compare", valid: "--json, --merge, -o, --help")
        let files = try reader.operands(help: ReplayHelp.compare) {
            (name, value, reader) throws(CommandFailure) in
            switch name {
            case "--json":
                try reader.refuseValue(of: name, value)
                request.isJSON = true
            case "--merge":
                try reader.refuseValue(of: name, value)
                request.isMerge = true
            case "-o", "--output": request.output = try reader.value(of: name, value).text
            default: throw reader.unknown(name)
            }
        }
        guard let files else { return ExitStatus.success }
        request.files = files
        if request.isMerge { return try merge(request) }
        if request.output != nil {
            throw .usage("-o is where --merge writes; leave it out, or write --merge as well")
        }
        if request.files.count < 2 {
            let what = request.files.isEmpty ? "no results" : "nothing to compare with"
            throw .usage(
                "\(what) given; write iotrap compare A.json B.json, with files written by iotrap "
                    + "replay --json")
        }
        do throws(ReplayError) {
            let comparison = try ReplayComparison(files: request.files)
            let text = request.isJSON ? comparison.json : comparison.text
            Diagnostics.write(text, to: STDOUT_FILENO)
        } catch {
            throw .usage(error.description)
        }
        return ExitStatus.success
    }

    private static func merge(_ request: Request) throws(CommandFailure) -> Int32 {
        if request.files.isEmpty {
            throw .usage(
                "no results given; write iotrap compare --merge DIR/rank-*.json, with the files "
                    + "that iotrap replay --results DIR wrote")
        }
        let report: ReplayReport
        do throws(ReplayError) {
            report = try ReplayMerge(files: request.files).report
        } catch {
            throw .usage(error.description)
        }
        if let path = request.output { try OutputText.write(report.json, to: path, option: "-o") }
        Diagnostics.write(request.isJSON ? report.json : report.text, to: STDOUT_FILENO)
        return ExitStatus.success
    }
}
