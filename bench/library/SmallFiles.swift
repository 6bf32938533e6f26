import Foundation
import IOTrap
import Synchronization

/// Reads files whole, one after the other in the order of a list.
struct SmallFiles {
    private let paths: [String]

    /// - Parameter list: a file with a path in each line
    init(list: String) throws {
        let text = try String(contentsOfFile: list, encoding: .utf8)
        paths = text.split(separator: "\n").map(String.init)
    }

    private func report(_ start: ContinuousClock.Instant, _ before: Double, bytes: Int) {
        let seconds = (ContinuousClock.now - start).seconds
        let used = processorSeconds() - before
        let count = Double(paths.count)
        print("operations_per_second", count / seconds)
        print("cpu_microseconds", used / count * 1e6)
        print("bytes", bytes)
    }

    /// So many tasks, each of which reads file after file, on so many executors.
    func runTasks(inFlight: Int, threads: Int) async throws {
        let executors = try (0..<threads).map { _ in try IOExecutor(.init(depth: inFlight)) }
        let before = processorSeconds()
        let start = ContinuousClock.now
        let next = SharedCounter()
        let paths = paths
        let bytes = try await withThrowingTaskGroup(of: Int.self) { group in
            for task in 0..<inFlight {
                group.addTask(executorPreference: executors[task % threads]) {
                    var buffer = IOBuffer(capacity: 1 << 16)
                    var bytes = 0
                    while let index = next.take(below: paths.count) {
                        bytes += try await IOFile.read(contentsOf: paths[index], into: &buffer)
                    }
                    return bytes
                }
            }
            return try await group.reduce(0, +)
        }
        report(start, before, bytes: bytes)
    }

    /// One file after the other, as Foundation does it.
    func runFoundation() throws {
        let before = processorSeconds()
        let start = ContinuousClock.now
        var bytes = 0
        for path in paths { bytes += try Data(contentsOf: URL(fileURLWithPath: path)).count }
        report(start, before, bytes: bytes)
    }
}

/// Numbers that each taker gets once.
final class SharedCounter: Sendable {
    private let value = Atomic<Int>(0)

    func take(below end: Int) -> Int? {
        let taken = value.wrappingAdd(1, ordering: .relaxed).oldValue
        return taken < end ? taken : nil
    }
}
