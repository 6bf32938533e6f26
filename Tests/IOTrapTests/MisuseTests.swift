import CIOTrap
import Glibc
import IOTrap
import Testing

/// Use that no correct program makes: errors that name the operation and the file, and in debug
/// builds the end of the process for what only a mistake in the program can be.
@Suite struct MisuseTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    // MARK: - Misaligned

    @Test func misalignedAddresses() async throws {
        let path = try scratch.file("a", bytes: 1 << 16)
        let file = try await IOFile.open(path, .readWrite, options: [.direct])
        guard file.memoryAlignment > 1 else {
            print("SKIP misalignedAddresses: any address does for O_DIRECT here")
            return
        }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 8192, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        let part = UnsafeMutableRawBufferPointer(rebasing: memory[1..<4097])
        let reason = IOError.Reason.misaligned(
            field: "address", value: UInt64(UInt(bitPattern: part.baseAddress)),
            multiple: UInt64(file.memoryAlignment))
        var span = part.mutableBytes
        do throws(IOError) {
            _ = try await file.read(into: &span, at: 0)
            Issue.record("a misaligned read went through")
        } catch {
            #expect(error == IOError(.read, path: path, reason: reason))
            #expect(error.remedy?.hasPrefix("use an IOBuffer") == true)
        }
        do throws(IOError) {
            try await file.write(part.bytes, at: 0)
            Issue.record("a misaligned write went through")
        } catch {
            #expect(error == IOError(.write, path: path, reason: reason))
        }
        #expect(
            failure { () throws(IOError) in try writeSynchronously(file, part) }
                == IOError(.write, path: path, reason: reason))
        #expect(memory.allSatisfy { $0 == 0 })
    }

    private func writeSynchronously(
        _ file: borrowing IOFile, _ part: UnsafeMutableRawBufferPointer
    ) throws(IOError) {
        try file.write(part.bytes, at: 0)
    }

    @Test func misalignedVectorsAndBatches() async throws {
        let path = try scratch.file("b", bytes: 1 << 16)
        let file = try await IOFile.open(path, .readWrite, options: [.direct])
        let multiple = UInt64(file.offsetAlignment)
        func misaligned(_ operation: IOOperation, _ field: String, _ value: UInt64) -> IOError {
            IOError(
                operation, path: path,
                reason: .misaligned(field: field, value: value, multiple: multiple))
        }
        var queue = try IOQueue(depth: 4)
        #expect(
            failure { () throws(IOError) in
                try queue.read(file, into: IOBuffer(capacity: 4096), at: 3)
            } == misaligned(.read, "offset", 3))
        #expect(
            failure { () throws(IOError) in try queue.write(file, odd(), at: 0) }
                == misaligned(.write, "length", 5))
        #expect(
            failure { () throws(IOError) in try queue.writeDurably(file, odd(), at: 0) }
                == misaligned(.write, "length", 5))
        #expect(
            failure { () throws(IOError) in try queue.write(file, oddList(), at: 0) }
                == misaligned(.write, "length", 5))
        #expect(
            failure { () throws(IOError) in try queue.read(file, into: oddList(), at: 7) }
                == misaligned(.read, "offset", 7))
        #expect(
            await failure { () async throws(IOError) in try await file.write(oddList(), at: 0) }
                == misaligned(.write, "length", 5))
        #expect(
            await failure { () async throws(IOError) in
                try await file.writeDurably(odd().bytes, at: 0)
            } == misaligned(.write, "length", 5))
        // None of them was added.
        let inFlight = queue.inFlight
        #expect(inFlight == 0)
    }

    private func odd() -> IOBuffer {
        var buffer = IOBuffer(capacity: 4096)
        buffer.fill(from: ([1, 2, 3, 4, 5] as [UInt8]).span.bytes)
        return buffer
    }

    private func oddList() -> IOBufferList {
        var list = IOBufferList(capacity: 1)
        list.append(odd())
        return list
    }

    // MARK: - Closed

    /// A descriptor number that nothing else gets, closed behind the library.
    @Test func aDescriptorThatIsGone() async throws {
        let opened = Glibc.open(try scratch.file("c", bytes: 4096), O_RDWR)
        let high = fcntl(opened, F_DUPFD_CLOEXEC, 700)
        close(opened)
        try #require(high >= 700)
        let file = try IOFile.adopt(high, path: "gone")
        close(high)
        func gone(_ operation: IOOperation) -> IOError {
            IOError(operation, path: "gone", reason: .system(EBADF))
        }
        let bytes: [UInt8] = [1]
        var buffer = IOBuffer(capacity: 512)
        #expect(
            await failure { () async throws(IOError) in
                try await file.read(into: &buffer, at: 0)
            } == gone(.read))
        #expect(
            await failure { () async throws(IOError) in
                try await file.writeDurably(bytes.span.bytes, at: 0)
            } == gone(.write))
        #expect(
            await failure { () async throws(IOError) in try await file.sync() } == gone(.sync))
        try expectGone(file, gone)
        do throws(IOError) {
            try file.close()
            Issue.record("closed it once more")
        } catch {
            #expect(error == gone(.close))
            #expect(error.remedy?.contains("close IOFile only with close()") == true)
        }
    }

    private func expectGone(
        _ file: borrowing IOFile, _ gone: (IOOperation) -> IOError
    ) throws {
        let bytes: [UInt8] = [1]
        var buffer = IOBuffer(capacity: 512)
        #expect(
            failure { () throws(IOError) in try file.read(into: &buffer, at: 0) } == gone(.read))
        #expect(
            failure { () throws(IOError) in try file.write(bytes.span.bytes, at: 0) }
                == gone(.write))
        #expect(failure { () throws(IOError) in try file.sync() } == gone(.sync))
        #expect(failure { () throws(IOError) in try file.size() } == gone(.stat))
        #expect(failure { () throws(IOError) in try file.resize(to: 3) } == gone(.resize))
        var queue = try IOQueue(depth: 2)
        try queue.read(file, into: buffer, at: 0)
        try queue.wait()
        guard let completion = queue.next() else {
            Issue.record("no completion")
            return
        }
        #expect(failure { () throws(IOError) in try completion.count() } == gone(.read))
    }

    // MARK: - Cut

    /// Files that are cut and grow while they are read: each read has all of it, or says that the
    /// file ended, and where.
    @Test func aFileThatIsCutUnderReads() async throws {
        let path = try scratch.file("d", bytes: 100_000)
        let shared = IOSharedFile(try await IOFile.open(path, .readWrite))
        let isDone = Late<Bool>()
        let reader = Task { () -> (whole: Int, short: Int, wrong: [String]) in
            var (whole, short, wrong) = (0, 0, [String]())
            for _ in 0..<300 {
                do throws(IOError) {
                    try await readAll(shared, 100_000)
                    whole += 1
                } catch {
                    short += 1
                    if error.operation != .read || error.path != path { wrong.append("\(error)") }
                    if case .endOfFile(100_000, let found) = error.reason,
                        found >= 60_000, found < 100_000
                    {
                        continue
                    }
                    wrong.append("\(error)")
                }
            }
            await isDone.set(true)
            return (whole, short, wrong)
        }
        while await isDone.value == nil {
            try shared.file.resize(to: 60_000)
            await Task.yield()
            try shared.file.resize(to: 100_000)
            await Task.yield()
        }
        let (whole, short, wrong) = await reader.value
        #expect(whole + short == 300)
        #expect(wrong.isEmpty)
    }

    // MARK: - The wrong thread

    #if DEBUG
        @Test func debugBuildsEndOnTheWrongThread() async throws {
            let result = try await #require(
                processExitsWith: .signal(SIGABRT), observing: [\.standardErrorContent]
            ) { try await submitElsewhere() }
            expectMisuse(result.standardErrorContent)
        }

        @Test func debugBuildsEndWhenItIsDroppedThere() async throws {
            let result = try await #require(
                processExitsWith: .signal(SIGABRT), observing: [\.standardErrorContent]
            ) { try await dropElsewhere() }
            expectMisuse(result.standardErrorContent)
        }

        private func expectMisuse(_ output: [UInt8]) {
            let text = String(decoding: output, as: UTF8.self)
            #expect(text.contains("iotrap: misuse: queue: used by a thread that did not open it"))
        }
    #endif

    @Test func otherwiseErrorsSaySo() async throws {
        let path = try scratch.file("e", bytes: 4096)
        await #expect(processExitsWith: .success) { [path = path as String] in
            await reporting(to: path + "-report") { try await useElsewhere(path) }
        }
    }

    /// What the kernel may still write to is not freed, nor used again.
    @Test func memoryOfAQueueThatWasDroppedElsewhereStays() async throws {
        await #expect(processExitsWith: .success) { try await dropWhileReading() }
    }
}

// MARK: - What the processes do

private func submitElsewhere() async throws {
    let threads = try Threads()
    let queue = try await threads.queue()
    await threads.elsewhere { _ = failure { () throws(IOError) in try queue.value?.submit() } }
}

private func dropElsewhere() async throws {
    let threads = try Threads()
    let queue = try await threads.queue()
    await threads.elsewhere { queue.value = nil }
}

private func useElsewhere(_ path: String) async throws {
    let threads = try Threads()
    // As a build for release.
    iotrap_set_strict(0)
    let queue = try await threads.queue()
    let file = try await IOFile.open(path, .readWrite)
    let pool = IOBufferPool(capacity: 4096, count: 1)
    await threads.elsewhere {
        // Twice: the buffer comes back.
        for _ in 0..<2 {
            let error = failure { () throws(IOError) in
                try queue.value?.read(file, into: try pool.take(), at: 0)
            }
            #expect(error == IOError(.read, path: path, reason: .system(EPERM)))
        }
        #expect(
            failure { () throws(IOError) in try queue.value?.sync(file) }
                == IOError(.sync, path: path, reason: .system(EPERM)))
        let submit = IOError(.submit, path: "", reason: .system(EPERM))
        #expect(failure { () throws(IOError) in try queue.value?.submit() } == submit)
        #expect(failure { () throws(IOError) in try queue.value?.wait() } == submit)
        let inFlight = queue.value?.inFlight
        #expect(inFlight == 0)
    }
    // At home it works as before.
    let count = try await threads.home {
        try queue.value?.read(file, into: try pool.take(), at: 0)
        try queue.value?.wait()
        return try queue.value?.next()?.count()
    }
    #expect(count == 4096)
    await threads.home { queue.value = nil }
}

private func dropWhileReading() async throws {
    let threads = try Threads()
    iotrap_set_strict(0)
    let queue = try await threads.queue()
    let pool = IOBufferPool(capacity: 512, count: 1)
    let pipe = try Pipe()
    try await threads.home {
        let file = try pipe.file()
        try queue.value?.read(file, into: try pool.take(), at: 0)
        try queue.value?.submit()
    }
    await threads.elsewhere { queue.value = nil }
    #expect(failure { () throws(IOError) in try pool.take() }?.reason == .poolEmpty(count: 1))
    pipe.send(1)
}

private func readAll(_ shared: IOSharedFile, _ count: Int) async throws(IOError) {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try await shared.file.readExactly(into: &raw, at: 0)
}

/// Two threads, and a queue that belongs to one of them.
private struct Threads {
    private let one: IOExecutor
    private let other: IOExecutor

    init() throws {
        one = try IOExecutor()
        other = try IOExecutor()
    }

    final class Holder {
        var value: IOQueue?

        init(_ value: consuming IOQueue) { self.value = consume value }
    }

    nonisolated(nonsending) func queue() async throws -> Holder {
        try await withTaskExecutorPreference(one) { Holder(try IOQueue(depth: 4)) }
    }

    nonisolated(nonsending) func home<R>(_ body: () throws -> R) async rethrows -> R {
        try await withTaskExecutorPreference(one) {
            #expect(one.isCurrent)
            return try body()
        }
    }

    nonisolated(nonsending) func elsewhere(_ body: () -> Void) async {
        await withTaskExecutorPreference(other) {
            #expect(other.isCurrent)
            body()
        }
    }
}
