import Glibc
import IOTrap
import Testing

/// Batches of operations of several buffers and several steps, with deadlines and priorities.
@Suite struct QueueFormTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func list(_ parts: [[UInt8]], capacity: Int = 16) -> IOBufferList {
        var list = IOBufferList(capacity: max(parts.count, 1))
        for part in parts {
            var buffer = IOBuffer(capacity: capacity, alignment: 16)
            buffer.fill(from: part.span.bytes)
            list.append(buffer)
        }
        return list
    }

    /// Waits for all that is in flight: the error of each completion by its tag, and the operations
    /// in their order.
    private func finish(
        _ queue: inout IOQueue
    ) throws(IOError) -> (errors: [UInt64: IOError], operations: [UInt64: [IOOperation]]) {
        var errors: [UInt64: IOError] = [:]
        var operations: [UInt64: [IOOperation]] = [:]
        while queue.inFlight > 0 {
            // The bound only keeps a broken test from waiting for ever.
            guard try queue.wait(timeout: .seconds(60)) > 0 else {
                Issue.record("\(queue.inFlight) operations do not end")
                break
            }
            while let completion = queue.next() {
                operations[completion.tag, default: []].append(completion.operation)
                do throws(IOError) {
                    _ = try completion.count()
                } catch {
                    if errors[completion.tag] == nil { errors[completion.tag] = error }
                }
            }
        }
        return (errors, operations)
    }

    @Test func vectors() throws {
        let file = try IOFile.open(scratch("a"), .readWrite, options: [.create])
        var queue = try IOQueue(depth: 8)
        for tag in 0..<8 {
            let first = UInt8(tag * 3)
            try queue.write(
                file, list([[first], [], [first + 1, first + 2]]), at: Int64(tag) * 3,
                tag: UInt64(tag))
        }
        let isFull = queue.isFull
        #expect(isFull)
        let full = failure { () throws(IOError) in try queue.write(file, list([[1]]), at: 0) }
        #expect(full == IOError(.write, path: scratch("a"), reason: .queueFull(depth: 8)))
        var taken = 0
        while queue.inFlight > 0 {
            try queue.wait()
            while var completion = queue.next() {
                #expect(try completion.count() == 3 && completion.operation == .write)
                let none = completion.takeBuffer() == nil
                let count = completion.takeList()?.count
                #expect(none && count == 3)
                taken += 1
            }
        }
        #expect(taken == 8)
        #expect(try scratch.content("a") == (0..<24).map { UInt8($0) })
        for tag in 0..<4 {
            try queue.read(
                file, into: list([[], []], capacity: 16), at: Int64(tag) * 6, tag: UInt64(tag))
        }
        while queue.inFlight > 0 {
            try queue.wait()
            while var completion = queue.next() {
                let start = Int(completion.tag) * 6
                let count = min(32, 24 - start)
                #expect(try completion.count() == count)
                try expectContent(completion.takeList(), from: start, count: count)
            }
        }
    }

    private func expectContent(
        _ list: consuming IOBufferList?, from start: Int, count: Int
    ) throws {
        guard let list else {
            Issue.record("the list did not come back")
            return
        }
        #expect(list[0].count == min(16, count) && list[1].count == max(0, count - 16))
        var place = start
        for index in 0..<2 {
            for offset in 0..<list[index].count {
                let byte = list[index].bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
                #expect(Int(byte) == place)
                place += 1
            }
        }
    }

    @Test func emptyVectors() throws {
        let file = try IOFile.open(scratch("b"), .readWrite, options: [.create])
        var queue = try IOQueue(depth: 4)
        try queue.write(file, list([]), at: 0, tag: 1)
        try queue.write(file, list([[], []]), at: 0, tag: 2)
        try queue.read(file, into: list([]), at: 0, tag: 3)
        #expect(try finish(&queue).errors.isEmpty)
        #expect(try file.size() == 0)
    }

    /// Each of the batch's writes has its sync behind it.
    @Test(arguments: [[], [.direct]] as [IOFile.Options]) func durable(
        options: IOFile.Options
    ) throws {
        let file = try IOFile.open(
            scratch("c"), .readWrite, options: options.union(.create))
        var queue = try IOQueue(depth: 16)
        for round in 0..<4 {
            for tag in 0..<8 {
                var buffer = IOBuffer(capacity: 4096)
                buffer.fill(
                    from: [UInt8](repeating: UInt8(round * 8 + tag), count: 4096).span.bytes)
                try queue.writeDurably(file, buffer, at: Int64(tag) * 4096, tag: UInt64(tag))
            }
            let (errors, operations) = try finish(&queue)
            #expect(errors.isEmpty)
            for tag in 0..<8 { #expect(operations[UInt64(tag)] == [.write, .sync]) }
        }
        let content = try scratch.content("c")
        #expect(content == (24..<32).flatMap { [UInt8](repeating: UInt8($0), count: 4096) })
    }

    @Test func whatFailsIsNotSynced() throws {
        let path = try scratch.file("d", bytes: 100)
        let file = try IOFile.open(path)
        var queue = try IOQueue(depth: 3)
        let pool = IOBufferPool(capacity: 16, count: 1, alignment: 16)
        var buffer = try pool.take()
        buffer.fill(from: ([1] as [UInt8]).span.bytes)
        try queue.writeDurably(file, buffer, at: 0, tag: 5)
        #expect(failure { () throws(IOError) in try pool.take() } != nil)
        // One place is left, and two are needed.
        #expect(
            failure { () throws(IOError) in try queue.writeDurably(file, self.buffer(1), at: 0) }
                == IOError(.write, path: path, reason: .queueFull(depth: 3)))
        var reasons: [IOError] = []
        while queue.inFlight > 0 {
            try queue.wait()
            while let completion = queue.next() {
                do throws(IOError) {
                    _ = try completion.count()
                    Issue.record("it was written")
                } catch {
                    reasons.append(error)
                }
            }
        }
        #expect(
            reasons == [
                IOError(.write, path: path, reason: .system(EBADF)),
                IOError(.sync, path: path, reason: .cancelled),
            ])
        #expect(try pool.take().capacity == 16)
    }

    @Test func deadlines() throws {
        let pipe = try Pipe()
        let waiting = try pipe.file()
        let path = try scratch.file("e", bytes: 100)
        let file = try IOFile.open(path, .readWrite)
        var queue = try IOQueue(depth: 16)
        // Long before anything is submitted.
        queue.setDeadline(.now - .seconds(1))
        try queue.write(file, buffer(1), at: 0, tag: 1)
        try queue.sync(file, tag: 2)
        try queue.write(file, list([[1], [1]]), at: 0, tag: 3)
        try queue.writeDurably(file, buffer(1), at: 0, tag: 4)
        // While they are under way.
        queue.setDeadline(.now + .milliseconds(20))
        try queue.read(waiting, into: IOBuffer(capacity: 16, alignment: 16), at: 0, tag: 5)
        try queue.read(waiting, into: list([[], []]), at: 0, tag: 6)
        // A day later, and never.
        queue.setDeadline(.now + .seconds(86_400))
        try queue.read(file, into: IOBuffer(capacity: 16, alignment: 16), at: 0, tag: 7)
        queue.setDeadline(nil)
        try queue.sync(file, tag: 8)
        let errors = try finish(&queue).errors
        func passed(_ operation: IOOperation, _ path: String) -> IOError {
            IOError(operation, path: path, reason: .deadlinePassed)
        }
        #expect(
            errors == [
                1: passed(.write, path), 2: passed(.sync, path), 3: passed(.write, path),
                4: passed(.write, path), 5: passed(.read, "pipe"), 6: passed(.read, "pipe"),
            ])
        #expect(try scratch.content("e") == (0..<100).map(Scratch.byte))
    }

    private func buffer(_ byte: UInt8) -> IOBuffer {
        var buffer = IOBuffer(capacity: 16, alignment: 16)
        buffer.fill(from: [byte].span.bytes)
        return buffer
    }

    /// A priority that the kernel did not know would end each operation with EINVAL.
    @Test func priorities() throws {
        let file = try IOFile.open(scratch("f"), .readWrite, options: [.create])
        var queue = try IOQueue(depth: 8)
        for (index, priority) in [TaskPriority.background, .utility, .medium, .high].enumerated() {
            queue.setPriority(priority)
            try queue.writeDurably(file, buffer(UInt8(index)), at: Int64(index), tag: UInt64(index))
        }
        #expect(try finish(&queue).errors.isEmpty)
        #expect(try scratch.content("f") == [0, 1, 2, 3])
    }

    @Test func memoryIsFreeOnceTheQueueIsGone() throws {
        let pipe = try Pipe()
        let pool = IOBufferPool(capacity: 64, count: 3, alignment: 64)
        do {
            let file = try pipe.file()
            var queue = try IOQueue(depth: 4)
            for _ in 0..<2 { try queue.read(file, into: try pool.take(), at: 0) }
            var list = IOBufferList(capacity: 1)
            list.append(try pool.take())
            try queue.read(file, into: list, at: 0)
            try queue.submit()
            #expect(failure { () throws(IOError) in try pool.take() } != nil)
        }
        var buffers = IOBufferList(capacity: 3)
        for _ in 0..<3 { buffers.append(try pool.take()) }
        pipe.send(count: 192)
        #expect(pipe.unread == 192)
    }
}
