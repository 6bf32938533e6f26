import Glibc
import IOTrap

// The Swift side of the library's benchmarks. Each measures one thing and prints lines of
// "name value"; bench/swift_cases.py does the comparing.

@main
struct Main {
    static let usage = """
        usage: librarybench random queue|tasks FILE DEPTH MS
               librarybench latency ring|task direct|cached FILE MS
               librarybench small tasks|foundation LIST FILES_IN_FLIGHT THREADS
        """

    static func main() async throws {
        let arguments = Array(CommandLine.arguments.dropFirst())
        switch (arguments.first, arguments.count) {
        case ("random", 5):
            let job = try RandomReads(arguments[2], depth: number(arguments[3]))
            let milliseconds = number(arguments[4])
            try await arguments[1] == "queue"
                ? job.runQueue(milliseconds) : job.runTasks(milliseconds)
        case ("latency", 5):
            let job = Latency(arguments[3], isDirect: arguments[2] == "direct")
            let milliseconds = number(arguments[4])
            try await arguments[1] == "ring"
                ? job.runRing(milliseconds) : job.runTask(milliseconds)
        case ("small", 5):
            let job = try SmallFiles(list: arguments[2])
            if arguments[1] == "foundation" { return try job.runFoundation() }
            try await job.runTasks(
                inFlight: number(arguments[3]), threads: number(arguments[4]))
        default:
            complain(usage)
            exit(2)
        }
    }

    private static func number(_ text: String) -> Int {
        guard let number = Int(text), number > 0 else {
            complain("librarybench: '\(text)' is no number above 0")
            exit(2)
        }
        return number
    }
}

/// A line of the results.
func report(_ name: String, _ value: Double) { print(name, value) }

/// xorshift64
struct RandomNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

/// Processor time of all threads of the process, kernel workers included.
func processorSeconds() -> Double {
    var usage = rusage()
    getrusage(RUSAGE_SELF.rawValue, &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

extension Duration {
    var seconds: Double { self / .seconds(1) }
}

/// Writes a line on the standard error output.
func complain(_ text: String) {
    var line = text + "\n"
    line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
}
