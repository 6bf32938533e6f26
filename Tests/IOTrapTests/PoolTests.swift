import Glibc
import IOTrap
import Testing

/// Files of mount pools that the program configures, each time in a process that has no other pool.
@Suite(.serialized) struct PoolTests {
    @Test func asynchronousOperations() async throws {
        try await Links.with { links in
            await #expect(processExitsWith: .success) { [links = links as Links] in
                await reporting(to: links.report) { try await performAsynchronously(links) }
            }
            let content = try links.content("file")
            #expect(isPattern(content, but: (3 * blockBytes)..<(4 * blockBytes)))
        }
    }

    @Test func batchesAndStreams() async throws {
        try await Links.with { links in
            await #expect(processExitsWith: .success) { [links = links as Links] in
                await reporting(to: links.report) { try await performInBatches(links) }
            }
        }
    }

    /// What is under way when a path dies goes on over the others.
    @Test func aPathThatDies() async throws {
        try await Links.with { links in
            await #expect(processExitsWith: .success) { [links = links as Links] in
                await reporting(to: links.report) { try await loseAPath(links) }
            }
            let content = try links.content("file")
            #expect(isPattern(content))
        }
    }

    @Test func whatIsNoPool() async throws {
        let scratch = try Scratch()
        let path = try scratch.file("a", bytes: 100)
        await #expect(processExitsWith: .success) { [path = path as String] in
            await reporting(to: path + "-report") { try await configureWrongly(path) }
        }
        expectNoReport(path + "-report")
    }
}

// MARK: - What the processes do

private func open(_ links: Links) async throws -> IOFile {
    try links.makePool()
    return try await IOFile.open(
        links.path(0, "file"), .readWrite, options: [.create, .direct], pool: .required)
}

private func performAsynchronously(_ links: Links) async throws {
    let shared = IOSharedFile(try await open(links))
    try await links.spread("writes") { try await inParallel(shared, write) }
    try await shared.file.sync()
    #expect(try isPattern(links.content("file")))
    try await links.spread("reads") { try await inParallel(shared, read) }
    // What was written by all paths is synced by all of them.
    try await links.spread("syncs") {
        let wrong = try await inParallel(shared, write)
        try await shared.file.sync(dataOnly: true)
        return wrong
    }
    let zeros = IOBuffer(zeros: blockBytes)
    try await shared.file.writeDurably(zeros.bytes, at: 3 * Int64(blockBytes))
}

private func performInBatches(_ links: Links) async throws {
    let file = try await open(links)
    try await links.spread("writes") { try batch(file, reads: false) }
    #expect(try isPattern(links.content("file")))
    try await links.spread("reads") { try batch(file, reads: true) }
    try await links.spread("reads") {
        var place = 0
        var wrong = 0
        for try await block in try file.blocks(of: blockBytes, readAhead: 8) {
            wrong += wrongInPattern(block.bytes, at: place)
            place += block.count
        }
        return wrong + abs(place - poolBytes)
    }
}

private func loseAPath(_ links: Links) async throws {
    let shared = IOSharedFile(try await open(links))
    try await links.spread("writes") { try await inParallel(shared, write) }
    // What the server of a path loses unsynced, a sync would have to report.
    try await shared.file.sync()
    try await links.spread("reads") { try await inParallel(shared, read) }
    let reading = Task {
        var wrong = 0
        for _ in 0..<50 { wrong += try await inParallel(shared, read) }
        return wrong
    }
    try links.kill(2)
    #expect(try await reading.value == 0)
    #expect(try await inParallel(shared, write) == 0)
    try await shared.file.sync()
}

private func configureWrongly(_ path: String) async throws {
    let error = failure { () throws(IOError) in try IOPools.set("data:relative,/mnt/b") }
    #expect(error?.operation == .start && error?.errno == EINVAL)
    // What, and what to do instead.
    let text = "\(try #require(error))"
    #expect(text.contains("relative") && text.contains("; "))
    let notPooled = IOError(.open, path: path, reason: .system(ENODEV))
    #expect(openSynchronously(path) == notPooled)
    #expect(
        await failure { () async throws(IOError) in
            try await IOFile.open(path, pool: .required)
        } == notPooled)
    // The refused one has left nothing behind.
    try IOPools.set("data:/nowhere/a,/nowhere/b")
    let busy = failure { () throws(IOError) in try IOPools.set("data:/nowhere/a,/nowhere/b") }
    #expect(busy == IOError(.start, path: "", reason: .system(EBUSY)))
    #expect(openSynchronously(path) == notPooled)
    var buffer = IOBuffer(capacity: 512)
    let file = try await IOFile.open(path)
    #expect(try await file.read(into: &buffer, at: 0) == 100)
}

private func openSynchronously(_ path: String) -> IOError? {
    failure { () throws(IOError) in try IOFile.open(path, pool: .required) }
}

private let poolBytes = 1 << 20
private let blockBytes = 16_384
private let pattern: [UInt8] = (0..<poolBytes).map(Scratch.byte)

extension IOBuffer {
    fileprivate init(zeros count: Int) {
        self.init(capacity: count)
        self.count = count
    }

    /// A part of the file as it has to be.
    fileprivate init(patternAt offset: Int) {
        self.init(capacity: blockBytes)
        fill(from: pattern.span.bytes.extracting(offset..<(offset + blockBytes)))
    }
}

/// Whether a file's content is as it has to be, with zeros in one place.
private func isPattern(_ content: [UInt8], but zeros: Range<Int> = 0..<0) -> Bool {
    var wanted = pattern
    for index in zeros { wanted[index] = 0 }
    return content == wanted
}

/// Bytes that are not what the file has to hold there.
private func wrongInPattern(_ bytes: RawSpan, at offset: Int) -> Int {
    bytes.withUnsafeBytes { found in
        pattern.withUnsafeBytes { wanted in
            memcmp(found.baseAddress!, wanted.baseAddress! + offset, found.count) == 0
        } ? 0 : wrongBytes(bytes, at: offset)
    }
}

private func write(_ shared: IOSharedFile, _ offset: Int) async throws -> Int {
    try await shared.file.write(IOBuffer(patternAt: offset), at: Int64(offset))
    return 0
}

private func read(_ shared: IOSharedFile, _ offset: Int) async throws -> Int {
    var buffer = IOBuffer(capacity: blockBytes)
    guard try await shared.file.read(into: &buffer, at: Int64(offset)) == blockBytes else {
        return blockBytes
    }
    return wrongInPattern(buffer.bytes, at: offset)
}

/// All blocks of the file at once: the sum of what is wrong.
private func inParallel(
    _ shared: IOSharedFile, _ body: @escaping @Sendable (IOSharedFile, Int) async throws -> Int
) async throws -> Int {
    try await withThrowingTaskGroup(of: Int.self) { group in
        for offset in stride(from: 0, to: poolBytes, by: blockBytes) {
            group.addTask { try await body(shared, offset) }
        }
        return try await group.reduce(0, +)
    }
}

/// All blocks of the file in one batch, every other one as a vector of two halves: bytes that are
/// wrong.
private func batch(_ file: borrowing IOFile, reads: Bool) throws -> Int {
    let count = poolBytes / blockBytes
    var queue = try IOQueue(depth: count + 1)
    for index in 0..<count {
        let offset = index * blockBytes
        let tag = UInt64(index)
        switch (index % 2 == 0, reads) {
        case (true, true):
            let blank = IOBuffer(capacity: blockBytes)
            try queue.read(file, into: blank, at: Int64(offset), tag: tag)
        case (true, false):
            try queue.write(file, IOBuffer(patternAt: offset), at: Int64(offset), tag: tag)
        case (false, true):
            try queue.read(file, into: halves(at: nil), at: Int64(offset), tag: tag)
        case (false, false):
            try queue.write(file, halves(at: offset), at: Int64(offset), tag: tag)
        }
    }
    var wrong = 0
    while queue.inFlight > 0 {
        try queue.wait()
        while var completion = queue.next() {
            wrong += try abs(completion.count() - blockBytes)
            let offset = Int(completion.tag) * blockBytes
            if let list = completion.takeList() {
                wrong += wrongInPattern(list[0].bytes, at: offset)
                wrong += wrongInPattern(list[1].bytes, at: offset + blockBytes / 2)
            } else if let buffer = completion.takeBuffer() {
                wrong += wrongInPattern(buffer.bytes, at: offset)
            }
        }
    }
    guard !reads else { return wrong }
    try queue.sync(file)
    try queue.wait()
    while let completion = queue.next() { wrong += try completion.count() }
    return wrong
}

/// A block in two buffers: as the file has to be there, or blank.
private func halves(at offset: Int?) -> IOBufferList {
    var list = IOBufferList(capacity: 2)
    for half in 0..<2 {
        var buffer = IOBuffer(capacity: blockBytes / 2)
        if let offset {
            let start = offset + half * blockBytes / 2
            buffer.fill(from: pattern.span.bytes.extracting(start..<(start + blockBytes / 2)))
        }
        list.append(buffer)
    }
    return list
}
