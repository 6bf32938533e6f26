import CIOTrap
import CIOTrapEngine

/// Numbers and words about a queue.
enum QueueReports {
    static func statistics(
        _ q: Queues.Queue, _ out: UnsafeMutablePointer<iotrap_queue_statistics>
    ) -> Int32 {
        let size = UInt32(MemoryLayout<iotrap_queue_statistics>.size)
        guard out.pointee.struct_size >= size else { return LibraryError.invalid }
        out.pointee = q.pointee.counts
        out.pointee.struct_size = size
        out.pointee.ring = q.pointee.ring == nil ? 0 : 1
        out.pointee.depth = q.pointee.depth
        out.pointee.added = q.pointee.added_count
        out.pointee.in_flight = q.pointee.in_ring &+ q.pointee.in_pool
        return 0
    }

    /// Copies a fixed text, cut at `bytes`; its length.
    static func copy(
        _ text: StaticString, _ out: UnsafeMutablePointer<CChar>, _ bytes: Int
    ) -> Int {
        guard bytes > 0 else { return 0 }
        let count = min(bytes - 1, text.utf8CodeUnitCount)
        for index in 0..<count { out[index] = CChar(bitPattern: text.utf8Start[index]) }
        out[count] = 0
        return count
    }
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_statistics(
    _ queue: OpaquePointer!, _ statistics: UnsafeMutablePointer<iotrap_queue_statistics>!
) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    guard let statistics else { return LibraryError.badAddress }
    return QueueReports.statistics(q, statistics)
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_error(
    _ queue: OpaquePointer!, _ text: UnsafeMutablePointer<CChar>!, _ bytes: Int
) -> Int {
    guard let text else { return 0 }
    guard let q = Queues.find(queue), q.pointee.record.process == Library.currentProcess() else {
        return QueueReports.copy("the queue is closed, or of the parent process", text, bytes)
    }
    guard Queues.isOwner(q) else {
        return QueueReports.copy(
            """
            wrong thread; the queue belongs to the thread that opened it: use \
            IOTRAP_QUEUE_UNBOUND, or iotrap_queue_wake to have its owner work
            """, text, bytes)
    }
    return iotrap_refusal_text(address(of: &q.pointee.refusal), text, bytes)
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_completion_text(
    _ completion: UnsafePointer<iotrap_completion>!, _ text: UnsafeMutablePointer<CChar>!,
    _ bytes: Int
) -> Int {
    guard let completion, let text else { return 0 }
    var path = completion.pointee.path
    let handle = completion.pointee.file
    if path == nil, let file = LibraryFiles.find(handle) ?? LibraryFiles.findFormer(handle) {
        path = UnsafePointer(LibraryFiles.name(file))
    }
    return iotrap_result_text(
        completion.pointee.operation, completion.pointee.result, path, completion.pointee.offset,
        completion.pointee.length, text, bytes)
}
