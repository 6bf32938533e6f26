import CIOTrap
import Glibc
import Synchronization

/// One request on its way through a queue, and the task that waits for it.
///
/// Belongs to the awaiting task until `RingLoop.start`, then to the loop's thread until the task is
/// resumed, and then to the task again. Only `isCancelled` is touched by anyone else. The memory
/// that `io` points to belongs to the task, which does not go on before the completion.
struct Operation: ~Copyable {
    /// The request; its `user_data` is the address of this operation.
    var io: iotrap_io
    /// The second of a linked pair; starts when the first has ended well, and in full.
    var linked: UnsafeMutablePointer<Operation>?
    /// The first of the pair, of the second.
    var leader: UnsafeMutablePointer<Operation>?
    /// As the kind of request says, or -errno.
    var result: Int64 = 0
    /// Completions that have still to arrive; of the first of a pair for both.
    var outstanding: UInt32 = 0
    /// Distinguishes uses of the same memory.
    var serial: UInt64 = 0
    /// Whether its memory goes back to a loop's pool, or to malloc.
    var isPooled = false
    var continuation: UnsafeContinuation<Void, Never>?
    /// Who hears of the end instead of a continuation, and owns the memory until then.
    var block: Unmanaged<IOBlock>?
    /// A copy of the path that `io` names; kept for the next path.
    private var path: UnsafeMutablePointer<CChar>?
    private var pathCapacity = 0
    /// The list that it is in: free, waiting, or in flight.
    var next: UnsafeMutablePointer<Operation>?
    var previous: UnsafeMutablePointer<Operation>?
    /// Set by the handler of a cancellation, before the loop hears of it.
    let isCancelled = Atomic<Bool>(false)

    init() { io = iotrap_io() }

    deinit { path?.deallocate() }

    /// Makes used memory ready for another request.
    mutating func reset(_ io: iotrap_io, serial: UInt64) {
        self.io = io
        self.serial = serial
        linked = nil
        leader = nil
        result = 0
        outstanding = 0
        continuation = nil
        block = nil
        next = nil
        previous = nil
        // relaxed: nobody else knows of this use yet
        isCancelled.store(false, ordering: .relaxed)
    }

    /// Points `io` to a copy of a path, which stays until the memory is used again.
    mutating func copy(path text: String) {
        text.withCString { source in
            let length = strlen(source) + 1
            if pathCapacity < length {
                path?.deallocate()
                pathCapacity = max(length, 256)
                path = .allocate(capacity: pathCapacity)
            }
            path!.update(from: source, count: length)
        }
        io.path = UnsafePointer(path)
    }
}
