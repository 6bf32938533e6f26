import Glibc
import Testing

@testable import IOTrap

/// How far streams read ahead, and how they end early. A pipe for a file shows how many reads were
/// begun, and lets them wait.
@Suite struct StreamFlowTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    @Test(arguments: [1, 2, 5]) func neverMoreInFlightThanStated(readAhead: Int) async throws {
        let pipe = try Pipe()
        pipe.send(count: 40 * 512)
        let file = try pipe.file()
        let blocks = try file.blocks(of: 512, readAhead: readAhead, in: 0..<40 * 512)
        var iterator = blocks.makeAsyncIterator()
        for taken in 1...40 {
            let block = try #require(try await iterator.next())
            #expect(block.count == 512 && block.offset == Int64(taken - 1) * 512)
            let wanted = min(40, taken + readAhead)
            #expect(40 - pipe.unread / 512 <= wanted)
            try #require(await eventually { 40 - pipe.unread / 512 == wanted })
        }
        #expect(try await iterator.next() == nil)
    }

    @Test func whoKeepsBlocksStopsTheReading() async throws {
        let pipe = try Pipe()
        pipe.send(count: 40 * 512)
        let file = try pipe.file()
        var iterator = try file.blocks(of: 512, readAhead: 3, in: 0..<40 * 512)
            .makeAsyncIterator()
        var kept: [IOBlock] = []
        for _ in 0..<5 { kept.append(try #require(try await iterator.next())) }
        #expect(await eventually { pipe.unread == 35 * 512 })
        // Room for something that must not happen; nothing depends on its length.
        try await Task.sleep(for: .milliseconds(20))
        #expect(pipe.unread == 35 * 512)
        kept.removeAll()
        kept.append(try #require(try await iterator.next()))
        #expect(await eventually { pipe.unread == (40 - 5 - 1 - 3) * 512 })
    }

    /// Cancels a task at several moments around its wait for a block that does not come.
    @Test(arguments: [true, false])
    func cancelledWhileABlockIsAwaited(ownThread: Bool) async throws {
        for round in 0..<20 {
            let pipe = try Pipe()
            let pool = IOBufferPool(capacity: 512, count: 5, alignment: 512)
            weak var handle: FileHandle?
            weak var loop: RingLoop?
            do {
                let executor = ownThread ? try IOExecutor() : nil
                let file = try pipe.file()
                handle = file.handle
                loop = executor?.loop
                let blocks = IOBlocks(
                    handle: file.handle, range: 0..<1 << 20, blockBytes: 512, readAhead: 3,
                    pool: pool)
                let first = Late<Int>()
                // Before the reads begin: later on any of them could get it.
                pipe.send(count: 512)
                let task = Task(executorPreference: executor) { () -> IOError? in
                    await failure { () async throws(IOError) in
                        for try await block in blocks { await first.set(block.count) }
                    }
                }
                try #require(await eventually { await first.value == 512 })
                if round > 0 { try await Task.sleep(for: .milliseconds(round % 5)) }
                task.cancel()
                let error = try await outcome(of: task)
                #expect(error == IOError(.read, path: "pipe", reason: .cancelled))
            }
            #expect(await eventually { handle == nil }, "the file stays open")
            if ownThread { #expect(await eventually { loop == nil }, "the thread stays") }
            try await expectUntouched(pool, by: pipe)
        }
    }

    /// All buffers came back, and no read is left that would write to them.
    private func expectUntouched(_ pool: IOBufferPool, by pipe: borrowing Pipe) async throws {
        var buffers = IOBufferList(capacity: pool.count)
        for _ in 0..<6000 where buffers.count < pool.count {
            while let buffer = try? pool.take() { buffers.append(buffer) }
            if buffers.count < pool.count { try await Task.sleep(for: .milliseconds(10)) }
        }
        #expect(buffers.count == pool.count, "buffers are missing")
        let pattern = [UInt8](repeating: 0x5a, count: pool.capacity)
        for index in 0..<buffers.count { buffers[index].fill(from: pattern.span.bytes) }
        let before = pipe.unread
        pipe.send(count: 3 * 512)
        try await Task.sleep(for: .milliseconds(1))
        #expect(pipe.unread == before + 3 * 512)
        for index in 0..<buffers.count {
            let isKept = buffers[index].bytes.withUnsafeBytes { $0.allSatisfy { $0 == 0x5a } }
            #expect(isKept)
        }
    }

    @Test(arguments: [true, false])
    func cancelledWhileAllBlocksAreKept(ownThread: Bool) async throws {
        let path = try scratch.file("a", bytes: 10_000)
        for round in 0..<20 {
            let executor = ownThread ? try IOExecutor() : nil
            let shared = IOSharedFile(try await IOFile.open(path))
            let taken = Late<Int>()
            let task = Task(executorPreference: executor) { () -> IOError? in
                var kept: [IOBlock] = []
                let error = await failure { () async throws(IOError) in
                    for try await block in try shared.file.blocks(of: 1000, readAhead: 1) {
                        kept.append(block)
                        await taken.set(kept.count)
                    }
                }
                kept.removeAll()
                return error
            }
            try #require(await eventually { await taken.value == 3 })
            if round > 0 { try await Task.sleep(for: .milliseconds(round % 5)) }
            task.cancel()
            let error = try await outcome(of: task)
            #expect(error == IOError(.read, path: path, reason: .cancelled))
        }
    }

    @Test func aWaitForABufferCanBeCalledOff() async throws {
        let pool = IOBufferPool(capacity: 64, count: 1, alignment: 64)
        for round in 0..<200 {
            let held = try pool.take()
            let task = Task { await pool.nextBufferUnlessCancelled() != nil }
            let other = Task { await pool.nextBuffer().capacity }
            for _ in 0..<(round % 7) { await Task.yield() }
            task.cancel()
            // What is not cancelled gets the buffer, whoever came first.
            _ = consume held
            #expect(try await outcome(of: other) == 64)
            _ = try await outcome(of: task)
        }
        let last = try pool.take()
        #expect(last.capacity == 64)
    }
}
