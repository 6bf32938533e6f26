import IOTrap

// What the pages of single types show.

func overview() async throws {
    let file = try await IOFile.open("data.db", .readWrite, options: [.create])
    let record: [UInt8] = [1, 2, 3]
    try await file.writeDurably(record.span.bytes, at: 0)
}

func fileExample(_ bytes: [UInt8]) async throws {
    let file = try await IOFile.open("data.db", .readWrite, options: [.create])
    try await file.write(bytes.span.bytes, at: 0)
    try await file.sync()
}

func executorExample() async throws {
    let executor = try IOExecutor()
    try await withTaskExecutorPreference(executor) {
        let file = try await IOFile.open("data.db")
        print(try file.size())
    }
}

actor OnExecutor {
    let executor: IOExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.unownedSerialExecutor }

    init(_ executor: IOExecutor) { self.executor = executor }
}

func poolsExample() throws {
    try IOPools.set("data:/mnt/a,/mnt/b,chunk=512K")
}

func blocksExample(_ file: borrowing IOFile, _ hash: inout UInt64) async throws {
    for try await block in try file.blocks() { hash &+= UInt64(block.count) }
}

/// The form of batches, which blocks its thread.
func queueExample(_ path: String) throws -> Int {
    let file = try IOFile.open(path)
    let pool = IOBufferPool(capacity: 4096, count: 32)
    var bytes = 0
    var queue = try IOQueue(depth: 32)
    for block in 0..<32 {
        try queue.read(file, into: try pool.take(), at: Int64(block) * 4096)
    }
    while queue.inFlight > 0 {
        try queue.wait()
        while let completion = queue.next() { bytes += try completion.count() }
    }
    return bytes
}

func reference(_ path: String) async throws {
    print(try queueExample(path))
    var hash: UInt64 = 0
    try await blocksExample(IOFile.open(path), &hash)
    print(hash)
}
