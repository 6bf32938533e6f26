/// A file, or a part of it, as a sequence of blocks, read ahead of their use.
///
/// ```swift
/// for try await block in try file.blocks() { hash &+= UInt64(block.count) }
/// ```
///
/// `readAhead` blocks are in flight while one is used. A block's memory is used again once the
/// block is let go of: whoever keeps blocks holds the stream up.
public struct IOBlocks: AsyncSequence, Sendable {
    /// Blocks.
    public typealias Element = IOBlock
    /// Errors: those of reading.
    public typealias Failure = IOError

    let handle: FileHandle
    let range: Range<Int64>
    let blockBytes: Int
    let readAhead: Int
    let pool: IOBufferPool?

    /// An iterator; the first block is asked for with the first `next()`.
    public func makeAsyncIterator() -> Iterator { Iterator(blocks: self) }

    /// Hands out blocks in the order of the file.
    public struct Iterator: AsyncIteratorProtocol {
        private let blocks: IOBlocks
        private var reader: ReadAhead?

        init(blocks: IOBlocks) { self.blocks = blocks }

        /// The next block; nil at the end.
        /// - Throws: `.read`; its reason is `.endOfFile` when the file was cut meanwhile.
        public mutating func next() async throws(IOError) -> IOBlock? {
            try await next(isolation: nil)
        }

        /// The same, for a caller of an actor.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(IOError) -> IOBlock? {
            if reader == nil {
                let executor = RingLoop.current?.owner ?? IOExecutor.shared
                reader = ReadAhead(blocks, on: executor)
            }
            return try await reader!.next()
        }
    }
}

extension IOFile {
    /// The file as a sequence of blocks.
    /// - Parameters:
    ///   - blockBytes: bytes of each block but the last, rounded up as `.direct` asks for
    ///   - readAhead: blocks in flight, at least one
    ///   - range: bytes from the file's beginning; nil: all there are now
    /// - Throws: `.stat` with what fstat(2) said.
    public func blocks(
        of blockBytes: Int = 1 << 20, readAhead: Int = 4, in range: Range<Int64>? = nil
    ) throws(IOError) -> IOBlocks {
        guard blockBytes > 0, readAhead > 0 else {
            throw handle.failure(
                .read, .invalid("blocks of \(blockBytes) bytes, \(readAhead) of them ahead"))
        }
        let mask = Int(handle.offsetMask)
        if let range { try handle.checkAlignment(.read, nil, 0, range.lowerBound) }
        let whole = if let range { range } else { 0..<(try size()) }
        return IOBlocks(
            handle: handle, range: whole, blockBytes: (blockBytes + mask) & ~mask,
            readAhead: readAhead, pool: nil)
    }
}

/// Reads ahead, in the thread of an executor.
actor ReadAhead {
    private let blocks: IOBlocks
    private let executor: IOExecutor
    private let pool: IOBufferPool
    private var position: Int64
    /// Asked for, in the order of the file.
    private var flight: [(block: IOBlock, operation: OperationReference, serial: UInt64)] = []
    private var failure: IOError?

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.unownedSerialExecutor }

    init(_ blocks: IOBlocks, on executor: IOExecutor) {
        self.blocks = blocks
        self.executor = executor
        position = blocks.range.lowerBound
        // One that is used, and one that is let go of just now.
        pool = blocks.pool ?? IOBufferPool(capacity: blocks.blockBytes, count: blocks.readAhead + 2)
        flight.reserveCapacity(blocks.readAhead)
    }

    /// Nobody waits for what is in flight: the loop keeps its memory until it has ended.
    deinit {
        for entry in flight { executor.loop.cancelStarted(entry.operation, serial: entry.serial) }
    }

    func next() async throws(IOError) -> IOBlock? {
        if let failure { throw failure }
        guard !Task.isCancelled else { throw blocks.handle.failure(.read, .cancelled) }
        readAhead()
        if flight.isEmpty {
            guard position < blocks.range.upperBound else { return nil }
            // All blocks are in use: the next one to be let go of is for this.
            guard let buffer = await pool.nextBufferUnlessCancelled() else {
                throw blocks.handle.failure(.read, .cancelled)
            }
            start(buffer)
        }
        let (block, operation, serial) = flight.removeFirst()
        if let reason = await end(of: block, operation, serial) {
            let error = blocks.handle.failure(.read, reason)
            failure = error
            throw error
        }
        readAhead()
        return block
    }

    private func readAhead() {
        while flight.count < blocks.readAhead, position < blocks.range.upperBound,
            let buffer = try? pool.take()
        {
            start(buffer)
        }
    }

    /// Waits for a read, which a cancelled task cancels: why it failed, if it did.
    private func end(
        of block: IOBlock, _ operation: OperationReference, _ serial: UInt64
    ) async -> IOError.Reason? {
        let loop = executor.loop
        return await withTaskCancellationHandler {
            await block.end(isolation: self)
        } onCancel: {
            loop.cancelStarted(operation, serial: serial)
        }
    }

    private func start(_ buffer: consuming IOBuffer) {
        let expected = Int(min(Int64(blocks.blockBytes), blocks.range.upperBound - position))
        let block = IOBlock(buffer, offset: position, expected: expected)
        let operation = executor.loop.makeOperation(block.request(blocks.handle))
        operation.pointer.pointee.block = .passRetained(block)
        let serial = operation.pointer.pointee.serial
        flight.append((block, operation, serial))
        executor.loop.start(operation)
        position += Int64(expected)
    }
}
