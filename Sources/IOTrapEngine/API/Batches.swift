import CIOTrap
import CIOTrapEngine

/// Batches of iotrap_queue.h: operations that are added together and whose results stay together.
enum Batches {
    typealias Batch = UnsafeMutablePointer<iotrap_batch_core>

    static let capacityMaximum: UInt32 = 16384

    /// The batch that a handle names; none in a forked child, as there is no queue for it.
    static func find(_ handle: OpaquePointer?) -> Batch? {
        guard let record = Library.find(handle, IOTRAP_HANDLE_BATCH),
            record.pointee.process == Library.currentProcess()
        else { return nil }
        return UnsafeMutableRawPointer(record).assumingMemoryBound(to: iotrap_batch_core.self)
    }

    static func record(_ batch: Batch) -> Library.Record {
        UnsafeMutableRawPointer(batch).assumingMemoryBound(to: iotrap_record.self)
    }

    static func handle(_ batch: Batch) -> OpaquePointer { Library.handle(record(batch)) }

    /// The batch for a change; nil and `code` when it cannot be changed.
    static func change(_ handle: OpaquePointer?, _ code: inout Int32) -> Batch? {
        guard let batch = find(handle) else {
            code = Library.misuse("batch: freed already, or no batch", LibraryError.badHandle)
            return nil
        }
        guard batch.pointee.is_busy == 0 else {
            code = LibraryError.busy
            return nil
        }
        return batch
    }

    static func create(
        _ capacity: UInt32, _ flags: UInt32, _ out: UnsafeMutablePointer<OpaquePointer?>
    ) -> Int32 {
        guard capacity > 0, capacity <= capacityMaximum, flags & ~IOTRAP_BATCH_ONE == 0 else {
            return LibraryError.invalid
        }
        let stride = MemoryLayout<iotrap_io>.stride + MemoryLayout<Int64>.stride
        let bytes = stride * Int(capacity)
        guard let record = Library.take() else { return LibraryError.noMemory }
        guard let pages = iotrap_pages(bytes, 1) else {
            Library.give(record)
            return LibraryError.noMemory
        }
        let batch = UnsafeMutableRawPointer(record).assumingMemoryBound(
            to: iotrap_batch_core.self)
        batch.pointee.capacity = capacity
        batch.pointee.flags = flags
        batch.pointee.region_bytes = UInt64(bytes)
        batch.pointee.ios = pages.assumingMemoryBound(to: iotrap_io.self)
        batch.pointee.results = (pages + MemoryLayout<iotrap_io>.stride * Int(capacity))
            .assumingMemoryBound(to: Int64.self)
        out.pointee = Library.publish(record, IOTRAP_HANDLE_BATCH)
        return 0
    }

    static func free(_ batch: Batch) {
        let ios = UnsafeMutableRawPointer(batch.pointee.ios)
        let bytes = Int(batch.pointee.region_bytes)
        Library.give(record(batch))
        iotrap_pages_free(ios, bytes)
    }

    /// Before it goes to a queue: no operation has a result.
    static func prepare(_ batch: Batch) {
        for index in 0..<Int(batch.pointee.count) {
            batch.pointee.results[index] = Int64(LibraryError.inProgress)
        }
    }

    static func append(_ batch: Batch, _ io: UnsafePointer<iotrap_io>) {
        let index = Int(batch.pointee.count)
        batch.pointee.ios[index] = io.pointee
        batch.pointee.results[index] = Int64(LibraryError.inProgress)
        batch.pointee.count += 1
    }
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_batch_create(
    _ capacity: UInt32, _ flags: UInt32, _ batch: UnsafeMutablePointer<OpaquePointer?>!
) -> Int32 {
    guard let batch else { return LibraryError.badAddress }
    return Batches.create(capacity, flags, batch)
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_batch_add(
    _ batch: OpaquePointer!, _ io: UnsafePointer<iotrap_io>!
) -> Int32 {
    var code: Int32 = 0
    guard let b = Batches.change(batch, &code) else { return code }
    guard let io else { return LibraryError.badAddress }
    guard b.pointee.count < b.pointee.capacity else { return LibraryError.noSpace }
    Batches.append(b, io)
    return 0
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_batch_add_durable_write(
    _ batch: OpaquePointer!, _ file: OpaquePointer!, _ buffer: UnsafeRawPointer!,
    _ length: UInt64, _ offset: Int64, _ userData: UInt64
) -> Int32 {
    var code: Int32 = 0
    guard let b = Batches.change(batch, &code) else { return code }
    guard b.pointee.capacity - b.pointee.count >= 2 else { return LibraryError.noSpace }
    var io = iotrap_io()
    io.kind = UInt16(IOTRAP_IO_WRITE.rawValue)
    io.flags = IOTRAP_IO_LINK
    io.file = file
    io.buffer = UnsafeMutableRawPointer(mutating: buffer)
    io.length = length
    io.offset = offset
    io.user_data = userData
    Batches.append(b, &io)
    io = iotrap_io()
    io.kind = UInt16(IOTRAP_IO_FDATASYNC.rawValue)
    io.file = file
    io.user_data = userData
    Batches.append(b, &io)
    return 0
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_batch_set_deadline(_ batch: OpaquePointer!, _ deadline: UInt64) -> Int32 {
    var code: Int32 = 0
    guard let b = Batches.change(batch, &code) else { return code }
    b.pointee.deadline_ns = deadline
    return 0
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_batch_set_priority(_ batch: OpaquePointer!, _ priority: UInt16) -> Int32 {
    var code: Int32 = 0
    guard let b = Batches.change(batch, &code) else { return code }
    b.pointee.priority = UInt32(priority)
    return 0
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_batch_count(_ batch: OpaquePointer!) -> Int32 {
    Batches.find(batch).map { Int32($0.pointee.count) } ?? LibraryError.badHandle
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_batch_result(_ batch: OpaquePointer!, _ index: UInt32) -> Int64 {
    guard let b = Batches.find(batch) else { return Int64(LibraryError.badHandle) }
    guard index < b.pointee.count else { return Int64(LibraryError.invalid) }
    return b.pointee.results[Int(index)]
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_batch_reset(_ batch: OpaquePointer!) -> Int32 {
    var code: Int32 = 0
    guard let b = Batches.change(batch, &code) else { return code }
    b.pointee.count = 0
    return 0
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_batch_free(_ batch: OpaquePointer!) -> Int32 {
    var code: Int32 = 0
    guard let b = Batches.change(batch, &code) else { return code }
    Batches.free(b)
    return 0
}
