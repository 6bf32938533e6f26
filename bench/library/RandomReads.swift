import Glibc
import IOTrap

/// 4K reads at random places of one file, O_DIRECT, so many in flight.
struct RandomReads {
    private static let blockBytes = 4096
    private let file: IOSharedFile
    private let blocks: Int64
    private let depth: Int

    init(_ path: String, depth: Int) throws {
        file = IOSharedFile(try IOFile.open(path, options: [.direct]))
        blocks = try file.file.size() / Int64(Self.blockBytes)
        self.depth = depth
    }

    private func place(_ random: inout RandomNumbers) -> Int64 {
        Int64(random.next() % UInt64(blocks)) * Int64(Self.blockBytes)
    }

    /// One thread that waits for its completions.
    func runQueue(_ milliseconds: Int) throws {
        let pool = IOBufferPool(capacity: Self.blockBytes, count: depth)
        var queue = try IOQueue(depth: depth)
        var random = RandomNumbers(seed: 1)
        for _ in 0..<depth {
            try queue.read(file.file, into: try pool.take(), at: place(&random))
        }
        let start = ContinuousClock.now
        let end = start + .milliseconds(milliseconds)
        var count = 0
        var now = start
        markAllocations()
        while now < end {
            try queue.wait()
            while try readAgain(&queue, &random) { count += 1 }
            now = .now
        }
        reportAllocations(per: count)
        report("operations_per_second", Double(count) / (now - start).seconds)
    }

    /// Takes a completion, and reads into its buffer once more; false when none is there.
    private func readAgain(
        _ queue: inout IOQueue, _ random: inout RandomNumbers
    ) throws -> Bool {
        guard var completion = queue.next() else { return false }
        let bytes = try completion.count()
        precondition(bytes == Self.blockBytes)
        guard let buffer = completion.takeBuffer() else { return false }
        try queue.read(file.file, into: buffer, at: place(&random))
        return true
    }

    /// A task for each read in flight, on one executor.
    func runTasks(_ milliseconds: Int) async throws {
        let executor = try IOExecutor(.init(depth: depth))
        let pool = try await IOBufferPool.registered(
            with: executor, capacity: Self.blockBytes, count: depth)
        let file = file
        let blocks = blocks
        let start = ContinuousClock.now
        let end = start + .milliseconds(milliseconds)
        let count = try await withThrowingTaskGroup(of: Int.self) { group in
            for task in 0..<depth {
                group.addTask(executorPreference: executor) {
                    var random = RandomNumbers(seed: UInt64(task) + 1)
                    var buffer = try pool.take()
                    var count = 0
                    while ContinuousClock.now < end {
                        let place = Int64(random.next() % UInt64(blocks)) * 4096
                        try await file.file.read(into: &buffer, at: place)
                        if count == 10 && task == 0 { markAllocations() }
                        count += 1
                    }
                    return count
                }
            }
            return try await group.reduce(0, +)
        }
        reportAllocations(per: count)
        report("operations_per_second", Double(count) / (ContinuousClock.now - start).seconds)
    }
}
