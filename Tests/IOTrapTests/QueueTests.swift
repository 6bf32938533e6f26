import Glibc
import IOTrap
import Testing

@Suite struct QueueTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private struct NothingThere: Error {}

    private func only(_ completion: consuming IOCompletion?) throws -> IOCompletion {
        guard let completion else { throw NothingThere() }
        return completion
    }

    @Test func batchesOfReads() throws {
        let file = try IOFile.open(try scratch.file("a", bytes: 1 << 16), options: [.direct])
        let pool = IOBufferPool(capacity: 4096, count: 8)
        var queue = try IOQueue(depth: 8)
        var next = 0
        var seen: Set<UInt64> = []
        while next < 16 || queue.inFlight > 0 {
            while next < 16 && !queue.isFull {
                try queue.read(
                    file, into: try pool.take(), at: Int64(next) * 4096, tag: UInt64(next))
                next += 1
            }
            try queue.wait()
            while var completion = queue.next() {
                #expect(try completion.count() == 4096 && completion.operation == .read)
                let buffer = completion.takeBuffer()!
                #expect(wrongBytes(buffer.bytes, at: Int(completion.tag) * 4096) == 0)
                seen.insert(completion.tag)
            }
        }
        #expect(seen.count == 16)
    }

    @Test func writesAndSyncs() throws {
        let file = try IOFile.open(scratch("b"), .readWrite, options: [.create])
        var queue = try IOQueue(depth: 4)
        for byte in 0..<3 {
            var buffer = IOBuffer(capacity: 16, alignment: 16)
            buffer.fill(from: [UInt8(byte), 9].span.bytes)
            try queue.write(file, buffer, at: Int64(byte) * 2, tag: UInt64(byte))
        }
        #expect(try queue.wait(for: 3) == 3)
        while let completion = queue.next() { #expect(try completion.count() == 2) }
        try queue.sync(file, tag: 7)
        try queue.wait()
        let completion = try only(queue.next())
        #expect(try completion.count() == 0 && completion.tag == 7 && completion.operation == .sync)
        #expect(try scratch.content("b") == [0, 9, 1, 9, 2, 9])
    }

    @Test func aFullQueueThrows() throws {
        let pipe = try Pipe()
        let file = try pipe.file()
        var queue = try IOQueue(depth: 2)
        for _ in 0..<2 { try queue.read(file, into: IOBuffer(capacity: 512), at: 0) }
        let isFull = queue.isFull
        #expect(isFull)
        let error = failure { () throws(IOError) in try queue.sync(file) }
        #expect(error?.reason == .queueFull(depth: 2) && error?.operation == .sync)
        // Nothing comes; the time is over first.
        #expect(try queue.wait(timeout: .milliseconds(1)) == 0)
        pipe.send(1)
        #expect(try queue.wait() == 1)
        // The other read ends with the queue.
    }

    @Test func errorsComeWithTheCompletion() throws {
        let path = try scratch.file("c", bytes: 100)
        let file = try IOFile.open(path)
        var queue = try IOQueue(depth: 2)
        var buffer = IOBuffer(capacity: 512)
        buffer.fill(from: ([1] as [UInt8]).span.bytes)
        try queue.write(file, buffer, at: 0)
        try queue.wait()
        var completion = try only(queue.next())
        let error = failure { () throws(IOError) in try completion.count() }
        #expect(error == IOError(.write, path: path, reason: .system(EBADF)))
        #expect(completion.takeBuffer()?.count == 1)
        #expect(completion.takeBuffer()?.count == nil)
    }

    @Test func filesOutliveTheirOwnerWhileInFlight() throws {
        var queue = try IOQueue(depth: 2)
        let pipe = try Pipe()
        do {
            let file = try pipe.file()
            try queue.read(file, into: IOBuffer(capacity: 512), at: 0)
            try queue.submit()
            do throws(IOError) {
                try file.close()
                Issue.record("closed a file that is in use")
            } catch {
                #expect(error.operation == .close && error.errno == EBUSY)
            }
        }
        pipe.send(3)
        try queue.wait()
        let completion = try only(queue.next())
        #expect(try completion.count() == 1)
    }
}
