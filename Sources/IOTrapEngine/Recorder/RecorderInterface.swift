import CIOTrap
import CIOTrapEngine

// The functions that the hooks call while calls are recorded.

/// See iotrap_recorder.h.
@c @implementation
public func iotrap_record(
    _ thread: UnsafeMutablePointer<iotrap_thread>, _ record: UnsafePointer<iotrap_recorded>
) {
    Recorder.append(thread, record)
}

/// See iotrap_recorder.h.
@c @implementation
public func iotrap_record_enter(_ thread: UnsafeMutablePointer<iotrap_thread>) {
    _ = enter(thread)
}

/// See iotrap_recorder.h.
@c @implementation
public func iotrap_record_resolve(
    _ thread: UnsafeMutablePointer<iotrap_thread>, _ fd: Int32
) -> UInt32 {
    RecordedFiles.resolve(thread, fd)
}

/// See iotrap_recorder.h.
@c @implementation
public func iotrap_record_resolve_path(
    _ thread: UnsafeMutablePointer<iotrap_thread>, _ path: UnsafePointer<CChar>
) -> UInt32 {
    RecordedFiles.resolve(thread, path: path)
}

/// See iotrap_recorder.h.
@c @implementation
public func iotrap_record_forget(_ first: UInt32, _ last: UInt32) {
    RecordedFiles.forget(first, last)
}

/// See iotrap_recorder.h.
@c @implementation
public func iotrap_record_batch(_ thread: UnsafeMutablePointer<iotrap_thread>) -> UInt32 {
    Recorder.batch(thread)
}

/// See iotrap_recorder.h.
@c @implementation
public func iotrap_record_flush() {
    Recorder.flush()
}

/// See iotrap_recorder.h.
@c @implementation
public func iotrap_record_submit_begin(
    _ thread: UnsafeMutablePointer<iotrap_thread>,
    _ batch: UnsafeMutablePointer<iotrap_record_batch>, _ count: Int64,
    _ iocbs: UnsafePointer<UInt64>?
) {
    RecordedRequests.begin(thread, batch, count, iocbs)
}

/// See iotrap_recorder.h.
@c @implementation
public func iotrap_record_submit_end(
    _ thread: UnsafeMutablePointer<iotrap_thread>,
    _ batch: UnsafeMutablePointer<iotrap_record_batch>, _ iocbs: UnsafePointer<UInt64>?,
    _ accepted: Int64
) {
    RecordedRequests.end(thread, batch, iocbs, accepted)
}

/// See iotrap_recorder.h.
@c @implementation
public func iotrap_record_events(
    _ thread: UnsafeMutablePointer<iotrap_thread>, _ events: UnsafePointer<iotrap_event>?,
    _ count: Int64
) {
    guard let events, count > 0 else { return }
    RecordedRequests.events(thread, events, count)
}
