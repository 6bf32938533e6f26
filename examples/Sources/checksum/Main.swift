import Glibc
import IOTrap

/// SHA-256 of files and trees, as `sha256sum` prints it, with many files in flight.
@main
struct Main {
    private static let usage = """
        usage: checksum [-j FILES_IN_FLIGHT] FILE_OR_DIRECTORY...
        Prints what `sha256sum` would: below directories for each regular file, in the order of
        its name.
        """

    static func main() async {
        var paths = Array(CommandLine.arguments.dropFirst())
        var inFlight = 64
        if paths.first == "-j", paths.count > 1 {
            guard let number = Int(paths[1]), (1...4096).contains(number) else {
                complain("checksum: -j takes 1 to 4096, not '\(paths[1])'")
                exit(2)
            }
            inFlight = number
            paths.removeFirst(2)
        }
        if paths.isEmpty || paths[0].hasPrefix("-") {
            complain(usage)
            exit(2)
        }
        var walk = TreeWalk()
        for path in paths { walk.add(path) }
        for problem in walk.problems { complain("checksum: \(problem)") }
        let failures: Int
        do throws(IOError) {
            failures = try await hash(walk.files, inFlight: inFlight)
        } catch {
            complain("checksum: \(error)")
            exit(1)
        }
        exit(walk.problems.isEmpty && failures == 0 ? 0 : 1)
    }

    /// A thread for each processor; results are printed in order. Returns the failures.
    private static func hash(
        _ files: [String], inFlight: Int
    ) async throws(IOError) -> Int {
        let count = max(1, min(Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))), inFlight, 16))
        var executors: [IOExecutor] = []
        for _ in 0..<count { executors.append(try IOExecutor(.init(name: "checksum"))) }
        let printer = Printer(files)
        await withTaskGroup(of: Void.self) { group in
            for (index, path) in files.enumerated() {
                if index >= inFlight { await group.next() }
                let executor = executors[index % count]
                group.addTask(executorPreference: executor) {
                    do throws(IOError) {
                        await printer.finish(index, try await FileHash.of(path))
                    } catch {
                        await printer.fail(index, error)
                    }
                }
            }
        }
        return await printer.failures
    }
}

/// Prints results in the order of the files.
private actor Printer {
    private let files: [String]
    private var results: [String?]
    private var next = 0
    private(set) var failures = 0

    init(_ files: [String]) {
        self.files = files
        results = Array(repeating: nil, count: files.count)
    }

    func finish(_ index: Int, _ sum: String) {
        let path = files[index]
        // sha256sum marks names that it had to escape with a backslash before the sum.
        let escaped = path.contains { "\\\n\r".contains($0) }
        let name =
            escaped
            ? path.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
                .replacing("\r", with: "\\r") : path
        put(index, "\(escaped ? "\\" : "")\(sum)  \(name)\n")
    }

    func fail(_ index: Int, _ error: IOError) {
        failures += 1
        complain("checksum: \(error)")
        put(index, "")
    }

    private func put(_ index: Int, _ line: String) {
        results[index] = line
        while next < results.count, let ready = results[next] {
            print(ready, terminator: "")
            results[next] = nil
            next += 1
        }
    }
}
