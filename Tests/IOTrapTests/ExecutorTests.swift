import Glibc
import IOTrap
import Synchronization
import Testing

@Suite struct ExecutorTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private actor Counter {
        let executor: IOExecutor
        var value = 0
        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.unownedSerialExecutor }

        init(_ executor: IOExecutor) { self.executor = executor }

        func add(_ file: IOSharedFile) async throws -> Bool {
            let before = executor.isCurrent
            var buffer = IOBuffer(capacity: 512)
            try await file.file.read(into: &buffer, at: 0)
            value += buffer.count
            return before && executor.isCurrent
        }
    }

    @Test func actorsLiveOnTheThread() async throws {
        let counter = Counter(try IOExecutor())
        let shared = IOSharedFile(try await IOFile.open(try scratch.file("a", bytes: 100)))
        let stayed = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 { group.addTask { try await counter.add(shared) } }
            return try await group.allSatisfy { $0 }
        }
        #expect(stayed)
        #expect(await counter.value == 10_000)
    }

    @Test func workFromElsewhereWakesIt() async throws {
        let executor = try IOExecutor(.init(name: "a name of more than 15 bytes"))
        // Each round the thread has gone to sleep, or is about to.
        for round in 0..<2000 {
            let value = await withTaskExecutorPreference(executor) {
                executor.isCurrent ? round : -1
            }
            #expect(value == round)
        }
    }

    @Test func manyThreadsSendAtOnce() async throws {
        let executor = try IOExecutor()
        let total = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    var sum = 0
                    for _ in 0..<500 {
                        sum += await withTaskExecutorPreference(executor) { 1 }
                    }
                    return sum
                }
            }
            return await group.reduce(0, +)
        }
        #expect(total == 4000)
    }

    @Test func moreOperationsThanTheQueueHolds() async throws {
        let executor = try IOExecutor(.init(depth: 4))
        let shared = IOSharedFile(try await IOFile.open(try scratch.file("b", bytes: 1 << 16)))
        let wrong = try await withThrowingTaskGroup(of: Int.self) { group in
            for task in 0..<200 {
                group.addTask(executorPreference: executor) {
                    var buffer = IOBuffer(capacity: 256, alignment: 256)
                    let offset = task * 256
                    try await shared.file.read(into: &buffer, at: Int64(offset))
                    return wrongBytes(buffer.bytes, at: offset)
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(wrong == 0)
    }

    @Test func linkedPairsFitShallowQueues() async throws {
        let executor = try IOExecutor(.init(depth: 3))
        let shared = IOSharedFile(
            try await IOFile.open(scratch("c"), .readWrite, options: [.create]))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<50 {
                group.addTask(executorPreference: executor) {
                    let byte = [UInt8(task)]
                    try await shared.file.writeDurably(byte.span.bytes, at: Int64(task))
                }
            }
            try await group.waitForAll()
        }
        #expect(try scratch.content("c") == (0..<50).map { UInt8($0) })
    }

    @Test func executorsEnd() async throws {
        let path = try scratch.file("d", bytes: 100)
        let before = try threads()
        for _ in 0..<20 {
            let executor = try IOExecutor()
            let count = try await withTaskExecutorPreference(executor) {
                let file = try await IOFile.open(path)
                var buffer = IOBuffer(capacity: 512)
                return try await file.read(into: &buffer, at: 0)
            }
            #expect(count == 100)
        }
        // Other tests start threads, too, but not ones with this name: those go away.
        var left = try threads()
        for _ in 0..<1000 where left > before + 10 {
            usleep(10_000)
            left = try threads()
        }
        #expect(left <= before + 10)
    }

    private func threads() throws -> Int {
        var count = 0
        let directory = try #require(opendir("/proc/self/task"))
        while let entry = readdir(directory) { if entry.pointee.d_name.0 != 46 { count += 1 } }
        closedir(directory)
        return count
    }

    @Test func badOptions() throws {
        let tooDeep = IOExecutor.Options(depth: 0)
        #expect(
            failure { () throws(IOError) in try IOExecutor(tooDeep) }?.reason
                == .invalid("depth 0 is not in 1...16384"))
        let nowhere = IOExecutor.Options(processor: 1023)
        let error = failure { () throws(IOError) in try IOExecutor(nowhere) }
        #expect(error?.operation == .queue && error?.errno == EINVAL)
    }

    @Test func registeredPools() async throws {
        let executor = try IOExecutor()
        let pool = try await IOBufferPool.registered(with: executor, capacity: 4096, count: 4)
        let path = try scratch.file("e", bytes: 1 << 16)
        for preference in [executor, nil] {
            try await withTaskExecutorPreference(preference) {
                let file = try await IOFile.open(path, .readWrite, options: [.direct])
                var buffer = try pool.take()
                for offset in stride(from: 0, to: 1 << 16, by: 4096) {
                    try await file.read(into: &buffer, at: Int64(offset))
                    #expect(wrongBytes(buffer.bytes, at: offset) == 0)
                }
                try await file.write(buffer, at: (1 << 16) - 4096)
            }
        }
    }
}
