import CIOTrap

/// A list of operations linked through themselves.
struct OperationList: ~Copyable {
    private(set) var first: UnsafeMutablePointer<Operation>?
    private var last: UnsafeMutablePointer<Operation>?

    var isEmpty: Bool { first == nil }

    mutating func append(_ operation: UnsafeMutablePointer<Operation>) {
        operation.pointee.previous = last
        operation.pointee.next = nil
        if let last { last.pointee.next = operation } else { first = operation }
        last = operation
    }

    mutating func prepend(_ operation: UnsafeMutablePointer<Operation>) {
        operation.pointee.previous = nil
        operation.pointee.next = first
        if let first { first.pointee.previous = operation } else { last = operation }
        first = operation
    }

    mutating func remove(_ operation: UnsafeMutablePointer<Operation>) {
        let next = operation.pointee.next
        let previous = operation.pointee.previous
        if let previous { previous.pointee.next = next } else { first = next }
        if let next { next.pointee.previous = previous } else { last = previous }
        operation.pointee.next = nil
        operation.pointee.previous = nil
    }

    /// Whether an operation is in it, in that use of its memory.
    func contains(_ operation: UnsafeMutablePointer<Operation>, serial: UInt64) -> Bool {
        var candidate = first
        while let found = candidate {
            if found == operation { return found.pointee.serial == serial }
            candidate = found.pointee.next
        }
        return false
    }
}

/// Memory for operations, used again and again.
struct OperationPool: ~Copyable {
    private static let chunk = 64
    private var free: UnsafeMutablePointer<Operation>?
    private var chunks: [UnsafeMutablePointer<Operation>] = []
    private var serial: UInt64 = 0

    mutating func take(_ io: iotrap_io) -> UnsafeMutablePointer<Operation> {
        if free == nil { grow() }
        let operation = free!
        free = operation.pointee.next
        serial &+= 1
        operation.pointee.reset(io, serial: serial)
        return operation
    }

    mutating func give(_ operation: UnsafeMutablePointer<Operation>) {
        operation.pointee.next = free
        free = operation
    }

    private mutating func grow() {
        let memory = UnsafeMutablePointer<Operation>.allocate(capacity: OperationPool.chunk)
        for index in 0..<OperationPool.chunk {
            (memory + index).initialize(to: Operation())
            memory[index].isPooled = true
            memory[index].next = free
            free = memory + index
        }
        chunks.append(memory)
    }

    deinit {
        for memory in chunks {
            memory.deinitialize(count: OperationPool.chunk)
            memory.deallocate()
        }
    }
}
