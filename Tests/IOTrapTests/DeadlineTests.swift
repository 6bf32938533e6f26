import CIOTrap
import Glibc
import Testing

@testable import IOTrap

/// Deadlines of asynchronous operations, those that pass and those that do not.
@Suite struct DeadlineTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private var soon: ContinuousClock.Instant { .now + .milliseconds(10) }
    private let late = ContinuousClock.now + .seconds(86_400)

    @Test func readsOfAnEmptyPipe() async throws {
        let pipe = try Pipe()
        let file = try pipe.file()
        let error = IOError(.read, path: "pipe", reason: .deadlinePassed)
        var list = IOBufferList(capacity: 2)
        for _ in 0..<2 { list.append(IOBuffer(capacity: 16, alignment: 16)) }
        var buffer = IOBuffer(capacity: 16, alignment: 16)
        #expect(
            await failure { () async throws(IOError) in
                try await file.read(into: &buffer, at: 0, deadline: soon)
            } == error)
        #expect(
            await failure { () async throws(IOError) in
                try await file.read(into: &list, at: 0, deadline: soon)
            } == error)
        // One of the three bytes is there.
        pipe.send(7)
        var bytes = [UInt8](repeating: 0, count: 3)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        do throws(IOError) {
            try await file.readExactly(into: &raw, at: 0, deadline: soon)
            Issue.record("read what is not there")
        } catch {
            #expect(error == IOError(.read, path: "pipe", reason: .deadlinePassed))
        }
        pipe.send(count: 32)
        #expect(try await file.read(into: &list, at: 0, deadline: late) == 32)
    }

    @Test func writesToAFullPipe() async throws {
        let pipe = try Pipe()
        let sizeCommand: Int32 = 1032  // F_GETPIPE_SZ
        let room = Int(fcntl(pipe.writing, sizeCommand))
        pipe.send(count: room)
        let writing = fcntl(pipe.writing, F_DUPFD_CLOEXEC, 0)
        let file = try IOFile.adopt(writing, path: "full")
        let bytes = [UInt8](repeating: 2, count: 4096)
        var list = IOBufferList(capacity: 1)
        var buffer = IOBuffer(capacity: 4096)
        buffer.fill(from: bytes.span.bytes)
        list.append(buffer)
        let error = IOError(.write, path: "full", reason: .deadlinePassed)
        #expect(
            await failure { () async throws(IOError) in
                try await file.write(bytes.span.bytes, at: 0, deadline: soon)
            } == error)
        #expect(
            await failure { () async throws(IOError) in
                try await file.write(list, at: 0, deadline: soon)
            } == error)
        // What is linked to the write does not begin.
        #expect(
            await failure { () async throws(IOError) in
                try await file.writeDurably(bytes.span.bytes, at: 0, deadline: soon)
            } == error)
        #expect(pipe.unread == room)
    }

    @Test func whatHasPassedBeforeStartsNothing() async throws {
        let past = ContinuousClock.now - .seconds(1)
        let path = try scratch.file("a", bytes: 100)
        let made = scratch("made")
        let file = try await IOFile.open(path, .readWrite, deadline: late)
        let bytes = [UInt8](repeating: 2, count: 100)
        func passed(_ operation: IOOperation, _ path: String) -> IOError {
            IOError(operation, path: path, reason: .deadlinePassed)
        }
        #expect(
            await failure { () async throws(IOError) in
                try await IOFile.open(made, .writeOnly, options: [.create], deadline: past)
            } == passed(.open, made))
        #expect(
            await failure { () async throws(IOError) in
                try await IOFile.write(contents: bytes.span.bytes, to: made, deadline: past)
            } == passed(.write, made))
        #expect(access(made, F_OK) != 0)
        #expect(
            await failure { () async throws(IOError) in
                try await file.write(bytes.span.bytes, at: 0, deadline: past)
            } == passed(.write, path))
        #expect(
            await failure { () async throws(IOError) in
                try await file.writeDurably(bytes.span.bytes, at: 0, deadline: past)
            } == passed(.write, path))
        #expect(
            await failure { () async throws(IOError) in
                try await file.sync(deadline: past)
            } == passed(.sync, path))
        #expect(try scratch.content("a") == (0..<100).map(Scratch.byte))
        try await file.writeDurably(bytes.span.bytes, at: 0, deadline: late)
        try await file.sync(deadline: late)
        #expect(try scratch.content("a") == bytes)
    }

    /// A queue that is full does not know yet of what waits for a place in it.
    @Test func whatWaitsForRoomIsGivenUpToo() async throws {
        let executor = try IOExecutor(.init(depth: 2))
        let pipe = try Pipe()
        let file = IOSharedFile(try pipe.file())
        let readers = (0..<2).map { _ in
            Task(executorPreference: executor) { () -> Int? in
                var buffer = IOBuffer(capacity: 512)
                return try? await file.file.read(into: &buffer, at: 0)
            }
        }
        for delay in [Duration.milliseconds(10), .zero, .milliseconds(1)] {
            let single = Task(executorPreference: executor) {
                await failure { () async throws(IOError) in
                    var buffer = IOBuffer(capacity: 512)
                    try await file.file.read(into: &buffer, at: 0, deadline: .now + delay)
                }
            }
            let pair = Task(executorPreference: executor) {
                await failure { () async throws(IOError) in
                    let byte: [UInt8] = [1]
                    try await file.file.writeDurably(
                        byte.span.bytes, at: 0, deadline: .now + delay)
                }
            }
            #expect(
                try await outcome(of: single)
                    == IOError(.read, path: "pipe", reason: .deadlinePassed))
            #expect(
                try await outcome(of: pair)
                    == IOError(.write, path: "pipe", reason: .deadlinePassed))
        }
        // One that has time gets its turn.
        let last = Task(executorPreference: executor) { [late] () -> Int? in
            var buffer = IOBuffer(capacity: 512)
            return try? await file.file.read(into: &buffer, at: 0, deadline: late)
        }
        for _ in 0..<3 {
            pipe.send(1)
            #expect(await eventually { pipe.unread == 0 })
        }
        for task in readers + [last] { #expect(try await outcome(of: task) == 1) }
    }

    @Test func theMemoryIsTheCallersAgain() async throws {
        let pipe = try Pipe()
        let file = try pipe.file()
        var buffer = IOBuffer(capacity: 512)
        var other = IOBuffer(capacity: 512)
        for byte in UInt8(1)...20 {
            #expect(
                await failure { () async throws(IOError) in
                    try await file.read(into: &buffer, at: 0, deadline: .now + .milliseconds(2))
                }?.reason == .deadlinePassed)
            buffer.fill(from: [0x5a].span.bytes)
            pipe.send(byte)
            #expect(try await file.read(into: &other, at: 0) == 1)
            #expect(other.bytes.unsafeLoad(as: UInt8.self) == byte)
            #expect(buffer.bytes.unsafeLoad(as: UInt8.self) == 0x5a)
        }
    }

    @Test func onTheEnginesClock() {
        #expect(Priority.deadline(nil) == 0)
        #expect(Priority.deadline(.now - .seconds(1)) == 1)
        // A century is for ever.
        #expect(Priority.deadline(.now + .seconds(3_200_000_000)) == 0)
        let before = iotrap_now()
        let deadline = Priority.deadline(.now + .seconds(3600))
        let after = iotrap_now()
        // The clocks are read one after the other.
        let hour: UInt64 = 3_600_000_000_000
        #expect(deadline > before && deadline <= after + hour)
        #expect(Priority.deadline(.now + .seconds(7200)) > deadline)
    }
}

/// What the priority of a task is to the kernel.
@Suite struct PriorityTests {
    @Test func levels() {
        let bestEffort: UInt16 = 2 << 13
        #expect(Priority.ioPriority(.background) == bestEffort | 7)
        #expect(Priority.ioPriority(.utility) == bestEffort | 6)
        #expect(Priority.ioPriority(.medium) == 0)
        #expect(Priority.ioPriority(.high) == bestEffort | 2)
        #expect(Priority.ioPriority(.userInitiated) == Priority.ioPriority(.high))
    }

    @Test func ofTheCurrentTask() async throws {
        for priority in [TaskPriority.background, .utility, .medium, .high] {
            // Nobody awaits the task itself: that would raise its priority.
            let seen = Late<UInt16>()
            Task.detached(priority: priority) {
                let current = Priority.current
                Task { await seen.set(current) }
            }
            #expect(await eventually { await seen.value != nil })
            #expect(await seen.value == Priority.ioPriority(priority))
        }
    }
}
