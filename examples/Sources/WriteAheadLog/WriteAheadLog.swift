import IOTrap

/// A log of records, each of which is on the storage when `append` returns.
///
/// Group commit: records that arrive while a commit is under way share the next one. A commit is
/// one write that is linked to its fdatasync, so the kernel begins the second by itself. The log
/// lives on an executor's thread: writers meet there without a lock.
public actor WriteAheadLog {
    /// A record that was appended.
    public struct Entry: Sendable {
        /// Counted from 1.
        public let number: UInt64
        /// What was appended.
        public let payload: [UInt8]
    }

    /// What appending throws once a commit has failed: nobody knows what the file holds since.
    public struct Broken: Error {
        /// Why the commit failed.
        public let cause: IOError
    }

    /// A record whose length no log takes.
    public struct TooLong: Error {
        /// Its bytes.
        public let count: Int
        /// The most a record may have.
        public let limit = Record.payloadBytesMax
    }

    /// The executor's thread.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        executor.unownedSerialExecutor
    }

    /// Commits that were made.
    public private(set) var commits = 0
    private let executor: IOExecutor
    private let file: IOFile
    private var end: Int64
    private var lastNumber: UInt64
    private var pending: [UInt8] = []
    private var waiting: [CheckedContinuation<Broken?, Never>] = []
    private var isCommitting = false
    private var failure: Broken?

    /// Opens a log, or makes one; cuts off what a crash left unfinished at its end.
    /// - Parameter visit: gets each record that is there, in order
    public init(
        _ path: String, on executor: IOExecutor, visit: (Entry) throws -> Void = { _ in }
    ) async throws {
        self.executor = executor
        file = try await IOFile.open(path, .readWrite, options: [.create])
        var reader = LogReader()
        for try await block in try file.blocks() { try reader.read(block.bytes, visit) }
        end = reader.end
        lastNumber = reader.lastNumber
        try file.resize(to: end)
        try await file.sync()
    }

    /// Appends a record, and waits until it is on the storage: its number.
    public func append(_ payload: [UInt8]) async throws -> UInt64 {
        guard payload.count <= Record.payloadBytesMax else {
            throw TooLong(count: payload.count)
        }
        if let failure { throw failure }
        lastNumber += 1
        let number = lastNumber
        Record.encode(payload, number: number, into: &pending)
        if !isCommitting {
            isCommitting = true
            Task { await commitAll() }
        }
        let broken = await withCheckedContinuation { waiting.append($0) }
        if let broken { throw broken }
        return number
    }

    /// Commits until nobody waits.
    private func commitAll() async {
        while !waiting.isEmpty {
            let bytes = pending
            let waiters = waiting
            pending.removeAll(keepingCapacity: true)
            waiting.removeAll(keepingCapacity: true)
            if failure == nil { await commit(bytes) }
            for waiter in waiters { waiter.resume(returning: failure) }
        }
        isCommitting = false
    }

    private func commit(_ bytes: [UInt8]) async {
        do throws(IOError) {
            try await file.writeDurably(bytes.span.bytes, at: end)
            end += Int64(bytes.count)
            commits += 1
        } catch {
            failure = Broken(cause: error)
        }
    }
}

/// Finds the records in the bytes of a log, and where the last whole one ends.
struct LogReader {
    private(set) var end: Int64 = 0
    private(set) var lastNumber: UInt64 = 0
    private var rest: [UInt8] = []
    private var isDamaged = false

    mutating func read(
        _ bytes: RawSpan, _ visit: (WriteAheadLog.Entry) throws -> Void
    ) throws {
        guard !isDamaged else { return }
        bytes.withUnsafeBytes { rest.append(contentsOf: $0) }
        var position = 0
        while let record = Record.decode(rest[position...]) {
            guard record.number == lastNumber + 1 else {
                isDamaged = true
                return
            }
            lastNumber = record.number
            try visit(WriteAheadLog.Entry(number: record.number, payload: Array(record.payload)))
            position += Record.headerBytes + record.payload.count
        }
        end += Int64(position)
        rest.removeFirst(position)
        // No record is longer than that: what is left will not become one.
        isDamaged = rest.count > Record.headerBytes + Record.payloadBytesMax
    }
}
