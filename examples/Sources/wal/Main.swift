import Glibc
import IOTrap
import WriteAheadLog

/// A write-ahead log from the command line.
@main
struct Main {
    private static let usage = """
        usage: wal append LOG                 appends each line of the standard input
               wal print LOG                  prints the records
               wal measure LOG WRITERS MS     commits per second of so many writers
        """

    static func main() async {
        let arguments = Array(CommandLine.arguments.dropFirst())
        do {
            switch (arguments.first, arguments.count) {
            case ("append", 2): try await append(arguments[1])
            case ("print", 2): try await printAll(arguments[1])
            case ("measure", 4):
                guard let writers = Int(arguments[2]), let milliseconds = Int(arguments[3]),
                    writers > 0, milliseconds > 0
                else { fallthrough }
                try await measure(arguments[1], writers, .milliseconds(milliseconds))
            default:
                complain(usage)
                exit(2)
            }
        } catch {
            complain("wal: \(error)")
            exit(1)
        }
    }

    /// Lines are appended at once, and acknowledged in their order.
    private static func append(_ path: String) async throws {
        let log = try await WriteAheadLog(path, on: IOExecutor())
        try await withThrowingTaskGroup(of: UInt64.self) { group in
            var inFlight = 0
            while let line = readLine() {
                if inFlight == 256 {
                    _ = try await group.next()
                    inFlight -= 1
                }
                let bytes = Array(line.utf8)
                // In the order of the lines: each joins the log before the next one is read.
                group.addTask { try await log.append(bytes) }
                inFlight += 1
            }
            try await group.waitForAll()
        }
    }

    private static func printAll(_ path: String) async throws {
        _ = try await WriteAheadLog(path, on: IOExecutor()) { entry in
            print(entry.number, String(decoding: entry.payload, as: UTF8.self))
        }
    }

    private static func measure(
        _ path: String, _ writers: Int, _ duration: Duration
    ) async throws {
        let executor = try IOExecutor()
        let log = try await WriteAheadLog(path, on: executor)
        let start = ContinuousClock.now
        let end = start + duration
        let count = try await withThrowingTaskGroup(of: Int.self) { group in
            for writer in 0..<writers {
                group.addTask(executorPreference: executor) {
                    let payload = [UInt8](repeating: UInt8(97 + writer % 26), count: 128)
                    var count = 0
                    while ContinuousClock.now < end {
                        _ = try await log.append(payload)
                        count += 1
                    }
                    return count
                }
            }
            return try await group.reduce(0, +)
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        print("operations_per_second", Double(count) / seconds)
        print("records_per_commit", Double(count) / Double(await log.commits))
    }
}
