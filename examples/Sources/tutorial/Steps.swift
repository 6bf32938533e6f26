import IOTrap

// The steps of the tutorial as they stand there (a test compares them), so that they are compiled
// and can be run.

func openWriteRead(_ path: String) async throws {
    let file = try await IOFile.open(path, .readWrite, options: [.create])
    let text = Array("hello, storage".utf8)
    try await file.write(text.span.bytes, at: 0)
    try await file.sync()

    var buffer = IOBuffer(capacity: 4096)
    let count = try await file.read(into: &buffer, at: 7)
    print(count, buffer.count)
}

func severalTasks(_ path: String) async throws {
    let shared = IOSharedFile(try await IOFile.open(path))
    let total = try await withThrowingTaskGroup(of: Int.self) { group in
        for part in 0..<8 {
            group.addTask {
                var buffer = IOBuffer(capacity: 4096)
                return try await shared.file.read(into: &buffer, at: Int64(part) * 4096)
            }
        }
        return try await group.reduce(0, +)
    }
    print(total)
}

func ownThread(_ path: String) async throws {
    let executor = try IOExecutor()
    try await withTaskExecutorPreference(executor) {
        let file = try await IOFile.open(path)
        var buffer = IOBuffer(capacity: 4096)
        try await file.read(into: &buffer, at: 0)
        print(executor.isCurrent, buffer.count)
    }
}

func deadlines(_ path: String) async {
    do throws(IOError) {
        var buffer = IOBuffer(capacity: 4096)
        let file = try await IOFile.open(path)
        try await file.read(into: &buffer, at: 0, deadline: .now + .seconds(10))
        let old = try await IOFile.open(path + ".old")
        print(try old.size())
    } catch {
        print(error)
        if error.reason == .deadlinePassed { print("slow storage") }
    }
}

func streams(_ path: String) async throws {
    var bytes = 0
    let file = try await IOFile.open(path)
    for try await block in try file.blocks(of: 1 << 16, readAhead: 4) {
        bytes += block.count
    }
    print(bytes)
}

actor Log {
    let executor: IOExecutor
    private let file: IOFile
    private var end: Int64 = 0
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.unownedSerialExecutor }

    init(_ path: String, on executor: IOExecutor) throws {
        self.executor = executor
        file = try IOFile.open(path, .readWrite, options: [.create])
    }

    func append(_ record: [UInt8]) async throws {
        let place = end
        end += Int64(record.count)
        try await file.writeDurably(record.span.bytes, at: place)
    }
}

func log(_ path: String) async throws {
    let log = try Log(path + ".log", on: IOExecutor())
    try await log.append([1, 2, 3])
    print(try await IOFile.open(path + ".log").size())
}
