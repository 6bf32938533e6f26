import Glibc
import IOTrap
import Testing

@Suite struct CancellationTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    /// A read of a pipe never ends by itself.
    private func cancelledRead(on executor: IOExecutor?, early: Bool) async throws -> IOError? {
        let pipe = try Pipe()
        let file = IOSharedFile(try pipe.file())
        let task = Task(executorPreference: executor) { () -> IOError? in
            if early { while !Task.isCancelled { await Task.yield() } }
            var buffer = IOBuffer(capacity: 512)
            do throws(IOError) {
                try await file.file.read(into: &buffer, at: 0)
                return nil
            } catch {
                return error
            }
        }
        if !early { try await Task.sleep(for: .milliseconds(5)) }
        task.cancel()
        return await task.value
    }

    @Test(arguments: [true, false]) func aCancelledTaskCancelsItsRead(early: Bool) async throws {
        let executor = try IOExecutor()
        for place in [executor, nil] {
            for _ in 0..<10 {
                let error = try await cancelledRead(on: place, early: early)
                #expect(error?.reason == .cancelled && error?.operation == .read)
            }
        }
    }

    @Test func whatWaitsForRoomIsCancelledToo() async throws {
        let executor = try IOExecutor(.init(depth: 1))
        let pipe = try Pipe()
        let file = IOSharedFile(try pipe.file())
        let errors = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<20 {
                group.addTask(executorPreference: executor) {
                    var buffer = IOBuffer(capacity: 512)
                    do throws(IOError) {
                        try await file.file.read(into: &buffer, at: 0)
                        return false
                    } catch {
                        return error.reason == .cancelled
                    }
                }
            }
            try await Task.sleep(for: .milliseconds(5))
            group.cancelAll()
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(errors == 20)
    }

    /// Cancels at all moments: each read either ended or was cancelled, and its memory is its own
    /// again afterwards.
    @Test func cancellationRacesWithCompletion() async throws {
        let executor = try IOExecutor()
        let file = IOSharedFile(
            try await IOFile.open(try scratch.file("a", bytes: 1 << 16), options: [.direct]))
        for round in 0..<400 {
            let task = Task(executorPreference: round % 2 == 0 ? executor : nil) { () -> Bool in
                var buffer = IOBuffer(capacity: 4096)
                for block in 0..<8 {
                    do throws(IOError) {
                        try await file.file.read(into: &buffer, at: Int64(block) * 4096)
                        if wrongBytes(buffer.bytes, at: block * 4096) > 0 { return false }
                    } catch {
                        guard error.reason == .cancelled else { return false }
                        buffer.count = 0
                        var storage = buffer.storage
                        storage.storeBytes(of: 0x5a5a, as: UInt64.self)
                        await Task.yield()
                        return buffer.storage.unsafeLoad(as: UInt64.self) == 0x5a5a
                    }
                }
                return true
            }
            for _ in 0..<(round % 23) { await Task.yield() }
            task.cancel()
            #expect(await task.value)
        }
    }

    @Test func deadlines() async throws {
        let pipe = try Pipe()
        let file = try pipe.file()
        var buffer = IOBuffer(capacity: 512)
        for delay in [Duration.milliseconds(10), .zero, .seconds(-1)] {
            do {
                try await file.read(into: &buffer, at: 0, deadline: .now + delay)
                Issue.record("read an empty pipe")
            } catch {
                #expect(error.reason == .deadlinePassed && error.errno == ETIME)
            }
        }
        pipe.send(7)
        #expect(try await file.read(into: &buffer, at: 0, deadline: .now + .seconds(3600)) == 1)
    }

    @Test func prioritiesAreNotRefused() async throws {
        let file = IOSharedFile(try await IOFile.open(try scratch.file("b", bytes: 512)))
        for priority in [TaskPriority.background, .utility, .medium, .high] {
            let task = Task(priority: priority) {
                var buffer = IOBuffer(capacity: 512)
                return try await file.file.read(into: &buffer, at: 0)
            }
            #expect(try await task.value == 512)
        }
    }
}
