import CIOTrap
import Synchronization

// Every promise about threads that the compiler cannot check, with its reason. A test sees to it
// that there are none in other files.

/// The loop's own state is touched by its thread alone; what others reach is the inbox, behind its
/// mutex, the atomics, and the queue's wake-up.
extension RingLoop: @unchecked Sendable {}

/// A pointer to an operation on its way between the task that waits and the loop. Who may use it
/// is said at `Operation`.
struct OperationReference: @unchecked Sendable, Equatable {
    let pointer: UnsafeMutablePointer<Operation>

    init(_ pointer: UnsafeMutablePointer<Operation>) { self.pointer = pointer }
}

/// A buffer owns its memory, and is moved from one owner to the next.
extension IOBuffer: @unchecked Sendable {}

/// The file of the engine may be used from any thread (iotrap_queue.h); what is known of it does
/// not change.
extension FileHandle: @unchecked Sendable {}

/// Memory that is read and written through buffers only, each of which has its part to itself.
extension Slab: @unchecked Sendable {}

/// Changed by the loop's thread before it is handed to the task that reads it, never afterwards.
extension IOBlock: @unchecked Sendable {}
