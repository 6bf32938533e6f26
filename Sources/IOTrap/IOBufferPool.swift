import Synchronization

/// A number of equal, aligned buffers that are used again and again.
///
/// Their memory is taken once. Taking and giving back a buffer allocates nothing. A pool that is
/// registered with an executor has its pages held by the kernel, which makes each of its
/// operations on that executor cheaper: see ``registered(with:capacity:count:alignment:)``.
public final class IOBufferPool: Sendable {
    /// Bytes of each buffer.
    public let capacity: Int
    /// How many buffers there are.
    public let count: Int
    let registration: Registration?
    private let slab: Slab
    private let state: Mutex<State>

    private struct State {
        /// Numbers of free buffers.
        var free: [Int]
        var waiting: [UnsafeContinuation<Int, Never>] = []
    }

    /// Takes the memory of a pool.
    /// - Parameters:
    ///   - capacity: bytes of each buffer, rounded up to a multiple of the alignment
    ///   - count: number of buffers
    ///   - alignment: bytes, a power of two
    public convenience init(capacity: Int, count: Int, alignment: Int = 4096) {
        let rounded = IOBufferPool.round(capacity, to: alignment)
        let slab = Slab(byteCount: rounded * count, alignment: alignment)
        self.init(slab, capacity: rounded, count: count, registration: nil)
    }

    init(_ slab: Slab, capacity: Int, count: Int, registration: Registration?) {
        self.slab = slab
        self.capacity = capacity
        self.count = count
        self.registration = registration
        state = Mutex(State(free: Array((0..<count).reversed())))
    }

    static func round(_ capacity: Int, to alignment: Int) -> Int {
        precondition(capacity > 0 && alignment > 0 && alignment & (alignment - 1) == 0)
        return (capacity + alignment - 1) & ~(alignment - 1)
    }

    /// A free buffer.
    /// - Throws: `.poolEmpty` when all are in use.
    public func take() throws(IOError) -> IOBuffer {
        guard let index = state.withLock({ $0.free.popLast() }) else {
            throw IOError(.queue, path: "", reason: .poolEmpty(count: count))
        }
        return buffer(index)
    }

    /// A free buffer, once there is one: first come, first served.
    public nonisolated(nonsending) func nextBuffer() async -> IOBuffer {
        let index = await withUnsafeContinuation { (continuation: UnsafeContinuation<Int, Never>) in
            let index = state.withLock { state -> Int? in
                if let index = state.free.popLast() { return index }
                state.waiting.append(continuation)
                return nil
            }
            if let index { continuation.resume(returning: index) }
        }
        return buffer(index)
    }

    private func buffer(_ index: Int) -> IOBuffer {
        IOBuffer(
            base: slab.memory.baseAddress! + index * capacity, capacity: capacity, pool: self,
            index: index)
    }

    func giveBack(_ index: Int) {
        let waiter = state.withLock { state -> UnsafeContinuation<Int, Never>? in
            if !state.waiting.isEmpty { return state.waiting.removeFirst() }
            state.free.append(index)
            return nil
        }
        waiter?.resume(returning: index)
    }
}
