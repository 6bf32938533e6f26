import Glibc
import IOTrap
import Testing

@Suite struct FileTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    @Test func synchronousReadsAndWrites() throws {
        let file = try IOFile.open(scratch("a"), .readWrite, options: [.create])
        try file.write(([1, 2, 3, 4] as [UInt8]).span.bytes, at: 2)
        try file.sync()
        try file.sync(dataOnly: true)
        #expect(try file.size() == 6)
        var bytes = [UInt8](repeating: 9, count: 8)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        #expect(try file.read(into: &raw, at: 1) == 5)
        #expect(bytes == [0, 1, 2, 3, 4, 9, 9, 9])
        try file.resize(to: 3)
        #expect(try file.size() == 3)
        try file.close()
        #expect(try scratch.content("a") == [0, 0, 1])
    }

    private func readSynchronously(
        _ file: borrowing IOFile, into buffer: inout IOBuffer, at offset: Int64
    ) throws(IOError) -> Int {
        try file.read(into: &buffer, at: offset)
    }

    @Test func asynchronousReadsAndWrites() async throws {
        let file = try await IOFile.open(scratch("a"), .readWrite, options: [.create])
        try await file.write(([1, 2, 3, 4] as [UInt8]).span.bytes, at: 2)
        try await file.sync()
        var bytes = [UInt8](repeating: 9, count: 8)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        #expect(try await file.read(into: &raw, at: 1) == 5)
        #expect(bytes == [0, 1, 2, 3, 4, 9, 9, 9])
        try file.close()
    }

    @Test func theSameOnTheExecutorsThread() async throws {
        let executor = try IOExecutor()
        let path = try scratch.file("b", bytes: 100_000)
        try await withTaskExecutorPreference(executor) {
            let file = try await IOFile.open(path)
            #expect(executor.isCurrent)
            var buffer = IOBuffer(capacity: 8192)
            for offset in stride(from: 0, to: 100_000, by: 8192) {
                try await file.read(into: &buffer, at: Int64(offset))
                #expect(executor.isCurrent)
                #expect(buffer.count == min(8192, 100_000 - offset))
                #expect(wrongBytes(buffer.bytes, at: offset) == 0)
            }
        }
    }

    @Test func directFilesWithAlignedBuffers() async throws {
        let path = try scratch.file("c", bytes: 1 << 16)
        let file = try await IOFile.open(path, .readWrite, options: [.direct])
        #expect(file.offsetAlignment >= 512 && file.memoryAlignment >= 1)
        var buffer = IOBuffer(capacity: 8192)
        #expect(try readSynchronously(file, into: &buffer, at: 4096) == 8192)
        #expect(wrongBytes(buffer.bytes, at: 4096) == 0)
        try await file.read(into: &buffer, at: 8192)
        #expect(wrongBytes(buffer.bytes, at: 8192) == 0)
        try await file.write(buffer, at: 0)
        try await file.read(into: &buffer, at: 0)
        #expect(wrongBytes(buffer.bytes, at: 8192) == 0)
    }

    @Test func misalignmentSaysWhatIsWrong() async throws {
        let path = try scratch.file("d", bytes: 1 << 16)
        let file = try await IOFile.open(path, .readWrite, options: [.direct])
        let multiple = UInt64(file.offsetAlignment)
        var buffer = IOBuffer(capacity: 8192)
        let offset = IOError.Reason.misaligned(field: "offset", value: 100, multiple: multiple)
        #expect(
            failure { () throws(IOError) in
                try readSynchronously(file, into: &buffer, at: 100)
            }?.reason == offset)
        do {
            try await file.read(into: &buffer, at: 100)
            Issue.record("a misaligned read went through")
        } catch {
            #expect(error.reason == offset && error.operation == .read && error.path == path)
            #expect(error.description.contains("offset 100 is no multiple of \(multiple)"))
        }
        buffer.fill(from: ([1, 2, 3] as [UInt8]).span.bytes)
        do {
            try await file.write(buffer, at: 0)
            Issue.record("a misaligned write went through")
        } catch {
            #expect(
                error.reason == .misaligned(field: "length", value: 3, multiple: multiple))
        }
    }

    @Test func errorsNameOperationAndFile() async throws {
        let missing = scratch("missing")
        do {
            _ = try await IOFile.open(missing)
            Issue.record("opened nothing")
        } catch {
            #expect(error == IOError(.open, path: missing, reason: .system(ENOENT)))
            #expect(error.description.hasPrefix("open \(missing): No such file"))
            #expect(error.remedy != nil && error.errno == ENOENT)
        }
        #expect(failure { () throws(IOError) in try IOFile.open(missing) }?.errno == ENOENT)
        let path = try scratch.file("e", bytes: 10)
        let file = try await IOFile.open(path)
        do {
            try await file.write(([1] as [UInt8]).span.bytes, at: 0)
            Issue.record("wrote to a file open for reading")
        } catch {
            #expect(error == IOError(.write, path: path, reason: .system(EBADF)))
        }
        var buffer = IOBuffer(capacity: 16)
        #expect(
            failure { () throws(IOError) in
                try readSynchronously(file, into: &buffer, at: -1)
            }?.reason
                == .invalid("offset -1 is negative"))
    }

    @Test func aDescriptorClosedBehindTheLibrary() throws {
        let descriptor = Glibc.open(try scratch.file("f", bytes: 10), O_RDONLY)
        let file = try IOFile.adopt(descriptor, path: "f")
        // Nothing else may get the number meanwhile: a pipe's reading end refuses pread.
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        dup2(ends[0], descriptor)
        defer { for end in ends { close(end) } }
        var buffer = IOBuffer(capacity: 16)
        #expect(
            failure { () throws(IOError) in try file.read(into: &buffer, at: 0) }?.errno
                == ESPIPE)
    }

    @Test func aFileThatShrinks() async throws {
        let path = try scratch.file("g", bytes: 10_000)
        let file = try await IOFile.open(path, .readWrite)
        try file.resize(to: 7000)
        var bytes = [UInt8](repeating: 0, count: 10_000)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        do {
            try await file.readExactly(into: &raw, at: 0)
            Issue.record("read more than there is")
        } catch {
            #expect(error.reason == .endOfFile(expected: 10_000, found: 7000))
            #expect(error.description.contains("the file ended after 7000 of 10000 bytes"))
        }
    }

    @Test func durableWrites() async throws {
        let file = try await IOFile.open(scratch("h"), .readWrite, options: [.create])
        try await file.writeDurably(([1, 2, 3] as [UInt8]).span.bytes, at: 0)
        try await file.writeDurably(([4, 5] as [UInt8]).span.bytes, at: 3)
        #expect(try scratch.content("h") == [1, 2, 3, 4, 5])
        let other = try await IOFile.open(scratch("h"))
        do {
            try await other.writeDurably(([4, 5] as [UInt8]).span.bytes, at: 3)
            Issue.record("wrote to a file open for reading")
        } catch {
            #expect(error.operation == .write && error.errno == EBADF)
        }
    }

    private func rewriteSynchronously(
        _ file: borrowing IOFile, _ list: inout IOBufferList
    ) throws(IOError) -> Int {
        try file.write(list, at: 6)
        try file.resize(to: 20)
        return try file.read(into: &list, at: 0)
    }

    @Test func vectors() async throws {
        let file = try await IOFile.open(scratch("i"), .readWrite, options: [.create])
        var list = IOBufferList(capacity: 3)
        for part in [[1, 2, 3], [], [4, 5]] as [[UInt8]] {
            var buffer = IOBuffer(capacity: 16, alignment: 16)
            buffer.fill(from: part.span.bytes)
            list.append(buffer)
        }
        try await file.write(list, at: 1)
        #expect(try scratch.content("i") == [0, 1, 2, 3, 4, 5])
        #expect(try rewriteSynchronously(file, &list) == 20)
        #expect(try scratch.content("i")[..<11] == [0, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5])
        #expect(list[0].count == 16 && list[1].count == 4 && list[2].count == 0)
        #expect(try await file.read(into: &list, at: 9) == 11)
        #expect(list[0].count == 11 && list[1].count == 0)
    }

    @Test func wholeFiles() async throws {
        let path = try scratch.file("j", bytes: 5000)
        var buffer = IOBuffer(capacity: 8192)
        #expect(try await IOFile.read(contentsOf: path, into: &buffer) == 5000)
        #expect(wrongBytes(buffer.bytes, at: 0) == 0)
        try await IOFile.write(contents: buffer.bytes, to: scratch("k"), permissions: 0o600)
        #expect(try scratch.content("k") == scratch.content("j"))
        try await IOFile.write(contents: ([7] as [UInt8]).span.bytes, to: scratch("k"))
        #expect(try scratch.content("k") == [7])
        do {
            try await IOFile.read(contentsOf: scratch("none"), into: &buffer)
            Issue.record("read nothing")
        } catch {
            #expect(error == IOError(.read, path: scratch("none"), reason: .system(ENOENT)))
        }
    }

    @Test func manyTasksOnOneFile() async throws {
        let shared = IOSharedFile(try await IOFile.open(try scratch.file("l", bytes: 1 << 20)))
        let wrong = try await withThrowingTaskGroup(of: Int.self) { group in
            for task in 0..<64 {
                group.addTask {
                    var buffer = IOBuffer(capacity: 4096)
                    var wrong = 0
                    for round in 0..<16 {
                        let offset = (task * 16 + round) * 1024
                        try await shared.file.read(into: &buffer, at: Int64(offset))
                        wrong += wrongBytes(buffer.bytes, at: offset)
                    }
                    return wrong
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(wrong == 0)
    }
}
