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
        var waiting: [Waiter] = []
        /// Tickets that were handed out.
        var tickets: UInt64 = 0
    }

    private struct Waiter {
        let continuation: UnsafeContinuation<Int?, Never>
        /// By which the wait can be called off; 0: it cannot.
        let ticket: UInt64
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
        // Without a ticket nobody calls it off.
        buffer(await nextIndex(ticket: 0)!)
    }

    /// The same; nil once the task is cancelled.
    nonisolated(nonsending) func nextBufferUnlessCancelled() async -> IOBuffer? {
        let ticket = state.withLock { state in
            state.tickets += 1
            return state.tickets
        }
        let index = await withTaskCancellationHandler {
            await nextIndex(ticket: ticket)
        } onCancel: {
            callOff(ticket)
        }
        guard let index else { return nil }
        return buffer(index)
    }

    private nonisolated(nonsending) func nextIndex(ticket: UInt64) async -> Int? {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Int?, Never>) in
            let index = state.withLock { state -> Int?? in
                if let index = state.free.popLast() { return index }
                // Whoever cancels later finds the waiter.
                if ticket != 0 && Task.isCancelled { return .some(nil) }
                state.waiting.append(Waiter(continuation: continuation, ticket: ticket))
                return nil
            }
            if let index { continuation.resume(returning: index) }
        }
    }

    private func callOff(_ ticket: UInt64) {
        let waiter = state.withLock { state in
            state.waiting.firstIndex { $0.ticket == ticket }.map { state.waiting.remove(at: $0) }
        }
        waiter?.continuation.resume(returning: nil)
    }

    private func buffer(_ index: Int) -> IOBuffer {
        IOBuffer(
            base: slab.memory.baseAddress! + index * capacity, capacity: capacity, pool: self,
            index: index)
    }

    func giveBack(_ index: Int) {
        let waiter = state.withLock { state -> Waiter? in
            if !state.waiting.isEmpty { return state.waiting.removeFirst() }
            state.free.append(index)
            return nil
        }
        waiter?.continuation.resume(returning: index)
    }
}
