import CIOTrap
import Glibc

/// A queue of its own for a thread that waits for completions itself: the batch form.
///
/// Buffers move into the queue with an operation, and come back with its completion, so nobody can
/// touch them in between. Nothing is allocated after the queue was made. It belongs to the thread
/// that made it.
///
/// ```swift
/// var queue = try IOQueue(depth: 32)
/// for block in 0..<32 {
///     try queue.read(file, into: try pool.take(), at: Int64(block) * 4096)
/// }
/// while queue.inFlight > 0 {
///     try queue.wait()
///     while let completion = queue.next() { bytes += try completion.count() }
/// }
/// ```
public struct IOQueue: ~Copyable {
    /// Operations that fit.
    public let depth: Int
    /// Operations added, whose completions were not taken yet.
    public private(set) var inFlight = 0
    // As the engine has them: with a property of a type such as Instant, whose layout is not known
    // when this is compiled, the compiler (6.3.1) leaves out the deinit in other modules.
    private var deadline: UInt64 = 0
    private var priority: UInt16 = 0
    private let queue: OpaquePointer
    private let slots: UnsafeMutablePointer<Slot>
    private var firstFree: Int32 = 0
    private let completions: UnsafeMutablePointer<iotrap_completion>
    private var taken = 0
    private var fetched = 0

    /// What the queue keeps of an operation.
    private struct Slot: ~Copyable {
        var buffer: IOBuffer?
        var list: IOBufferList?
        var handle: FileHandle?
        var tag: UInt64 = 0
        var operation = IOOperation.read
        /// Bytes that a write is to move.
        var expected = 0
        var nextFree: Int32
    }

    /// Makes a queue.
    /// - Parameter depth: operations that fit, 1 to 16384
    /// - Throws: `.queue` with what iotrap_queue_open said.
    public init(depth: Int = 128) throws(IOError) {
        guard (1...16384).contains(depth) else {
            throw IOError(.queue, path: "", reason: .invalid("depth \(depth) is not in 1...16384"))
        }
        Engine.start()
        var options = iotrap_queue_options()
        iotrap_queue_options_init(&options)
        options.depth = UInt32(depth)
        var opened: OpaquePointer?
        let error = iotrap_queue_open(&options, &opened)
        guard error == 0, let opened else {
            throw IOError(.queue, path: "", reason: .system(-error))
        }
        queue = opened
        self.depth = depth
        slots = .allocate(capacity: depth)
        for index in 0..<depth {
            (slots + index).initialize(to: Slot(nextFree: Int32(index) + 1))
        }
        completions = .allocate(capacity: depth)
        completions.initialize(repeating: iotrap_completion(), count: depth)
    }

    /// Cancels what can be cancelled, waits for the rest, and gives all buffers back.
    deinit {
        // On a wrong thread nothing is freed that the kernel may still write to.
        guard iotrap_queue_close(queue) != -EPERM else { return }
        slots.deinitialize(count: depth)
        slots.deallocate()
        completions.deallocate()
    }

    /// True when no operation fits before a completion is taken.
    public var isFull: Bool { inFlight == depth }

    /// Sets when operations that are added from now on are given up; nil: never. What a device is
    /// working on by then is still waited for.
    public mutating func setDeadline(_ deadline: ContinuousClock.Instant?) {
        self.deadline = Priority.deadline(deadline)
    }

    /// Sets how urgent the operations that are added from now on are; `.medium` at first.
    public mutating func setPriority(_ priority: TaskPriority) {
        self.priority = Priority.ioPriority(priority)
    }

    /// Adds a read into a buffer, which comes back with the completion.
    /// - Parameter tag: comes back as well
    /// - Throws: `.read`; `.queueFull` when ``isFull``. The buffer is given back then.
    public mutating func read(
        _ file: borrowing IOFile, into buffer: consuming IOBuffer, at offset: Int64,
        tag: UInt64 = 0
    ) throws(IOError) {
        let address = buffer.base
        let length = buffer.capacity
        try file.handle.checkAlignment(.read, address, length, offset)
        var io = iotrap_io()
        iotrap_io_read(&io, file.handle.file, address, UInt64(length), offset)
        try add(&io, .read, file.handle, buffer, tag: tag)
    }

    /// Adds a write of what a buffer holds; all of it, however many calls the kernel needs.
    /// - Parameter tag: comes back as well
    /// - Throws: `.write`; `.queueFull` when ``isFull``. The buffer is given back then.
    public mutating func write(
        _ file: borrowing IOFile, _ buffer: consuming IOBuffer, at offset: Int64, tag: UInt64 = 0
    ) throws(IOError) {
        let address = buffer.base
        let length = buffer.count
        try file.handle.checkAlignment(.write, address, length, offset)
        var io = iotrap_io()
        iotrap_io_write(&io, file.handle.file, address, UInt64(length), offset)
        io.flags = UInt32(IOTRAP_IO_WHOLE)
        try add(&io, .write, file.handle, buffer, expected: length, tag: tag)
    }

    /// Adds a sync, which covers the writes whose completions were taken before.
    /// - Throws: `.sync`; `.queueFull` when ``isFull``.
    public mutating func sync(
        _ file: borrowing IOFile, dataOnly: Bool = false, tag: UInt64 = 0
    ) throws(IOError) {
        var io = iotrap_io()
        iotrap_io_sync(&io, file.handle.file, dataOnly ? 1 : 0)
        try add(&io, .sync, file.handle, nil, tag: tag)
    }

    /// Adds a request, and keeps what it needs until its completion is taken.
    mutating func add(
        _ io: inout iotrap_io, _ operation: IOOperation, _ handle: FileHandle,
        _ buffer: consuming IOBuffer?, list: consuming IOBufferList? = nil, expected: Int = 0,
        tag: UInt64
    ) throws(IOError) {
        guard inFlight < depth else {
            throw handle.failure(operation, .queueFull(depth: depth))
        }
        prepare(&io, UInt64(firstFree))
        let error = iotrap_queue_add(queue, &io)
        guard error == 0 else { throw handle.failure(operation, result: Int64(error)) }
        keep(operation, handle, buffer, list: list, expected: expected, tag: tag)
    }

    /// The same for a write and the sync that it is linked to.
    mutating func addPair(
        _ write: iotrap_io, _ sync: iotrap_io, _ handle: FileHandle, _ buffer: consuming IOBuffer,
        expected: Int, tag: UInt64
    ) throws(IOError) {
        guard depth - inFlight >= 2 else { throw handle.failure(.write, .queueFull(depth: depth)) }
        var pair = InlineArray<2, iotrap_io>(repeating: write)
        pair[1] = sync
        prepare(&pair[0], UInt64(firstFree))
        prepare(&pair[1], UInt64(slots[Int(firstFree)].nextFree))
        pair[0].flags |= IOTRAP_IO_LINK
        let error = withUnsafePointer(to: &pair) {
            $0.withMemoryRebound(to: iotrap_io.self, capacity: 2) {
                iotrap_queue_add_many(queue, $0, 2)
            }
        }
        guard error == 0 else { throw handle.failure(.write, result: Int64(error)) }
        keep(.write, handle, buffer, list: nil, expected: expected, tag: tag)
        keep(.sync, handle, nil, list: nil, expected: 0, tag: tag)
    }

    private func prepare(_ io: inout iotrap_io, _ slot: UInt64) {
        io.user_data = slot
        io.priority = priority
        io.deadline_ns = deadline
    }

    private mutating func keep(
        _ operation: IOOperation, _ handle: FileHandle, _ buffer: consuming IOBuffer?,
        list: consuming IOBufferList?, expected: Int, tag: UInt64
    ) {
        let index = Int(firstFree)
        firstFree = slots[index].nextFree
        slots[index].buffer = buffer
        slots[index].list = list
        slots[index].handle = handle
        slots[index].tag = tag
        slots[index].operation = operation
        slots[index].expected = expected
        inFlight += 1
    }

    /// Starts what was added. ``wait(for:timeout:)`` does so as well.
    /// - Throws: `.submit`.
    public mutating func submit() throws(IOError) {
        let count = iotrap_queue_submit(queue)
        guard count >= 0 else { throw IOError(.submit, path: "", reason: .system(-count)) }
    }

    /// Starts what was added, and waits until so many completions are there, or nothing is in
    /// flight, or the time is over.
    /// - Parameter count: 0: does not wait
    /// - Returns: completions that ``next()`` has to hand out
    /// - Throws: `.submit`.
    @discardableResult
    public mutating func wait(
        for count: Int = 1, timeout: Duration? = nil
    ) throws(IOError) -> Int {
        guard taken == fetched else { return fetched - taken }
        taken = 0
        fetched = 0
        let deadline = timeout.map { ContinuousClock.now.advanced(by: $0) }
        while true {
            let found = iotrap_queue_wait(
                queue, completions, UInt32(clamping: count), UInt32(depth), left(deadline))
            if found == -EINTR { continue }
            guard found >= 0 else { throw IOError(.submit, path: "", reason: .system(-found)) }
            fetched = Int(found)
            return fetched
        }
    }

    private func left(_ deadline: ContinuousClock.Instant?) -> UInt64 {
        guard let deadline else { return UInt64.max }
        let left = ContinuousClock.now.duration(to: deadline)
        return left > .zero ? UInt64(left / .nanoseconds(1)) : 0
    }

    /// A completion that is there; nil: see ``wait(for:timeout:)``.
    public mutating func next() -> IOCompletion? {
        guard taken < fetched else { return nil }
        let index = Int(completions[taken].user_data)
        let result = completions[taken].result
        taken += 1
        inFlight -= 1
        slots[index].nextFree = firstFree
        firstFree = Int32(index)
        return IOCompletion(
            tag: slots[index].tag, operation: slots[index].operation, result: result,
            expected: slots[index].expected, handle: slots[index].handle.take()!,
            buffer: slots[index].buffer.take(), list: slots[index].list.take())
    }
}
