import CIOTrap
import CIOTrapEngine
import Synchronization

/// Turns records into bytes, as iotrap_recording.h has them.
enum RecordEncoder {
    typealias Bytes = UnsafeMutablePointer<UInt8>
    typealias Window = Recorder.Window

    /// Bytes of the longest path (IOTRAP_TRACE_PATH_BYTES_MAX and the slash before it).
    static let pathBytesMax = Int(IOTRAP_TRACE_PATH_BYTES_MAX) + 1

    /// Writes a record, for which there is room.
    @inline(__always)
    static func put(
        _ record: UnsafePointer<iotrap_recorded>, in window: Window, startedNanoseconds: UInt64
    ) {
        let r = record.pointee
        let start = iotrap_window_bytes(window) + Int(window.pointee.used)
        var next = putThread(in: window, at: start)
        next[0] = r.kind
        next += 1
        let isDone = UInt32(r.kind) == IOTRAP_RECORD_DONE.rawValue
        let isEvent = !isDone && UInt32(r.kind) != IOTRAP_RECORD_SUBMIT.rawValue
        let time = (isDone ? r.complete_ns : r.submit_ns) &- startedNanoseconds
        if !isDone {
            next[0] = r.call
            next[1] = r.operation
            next += 2
        }
        next = put(signed: Int64(bitPattern: time &- window.pointee.last_ns), at: next)
        if isDone {
            next = put(r.key, at: next)
            next = put(signed: r.result, at: next)
        } else {
            next = put(UInt64(number(of: r.file)), at: next)
            next = put(r.offset, at: next)
            next = put(r.length, at: next)
            next = put(UInt64(r.flags), at: next)
            next = put(isEvent ? r.complete_ns &- r.submit_ns : UInt64(r.batch), at: next)
            next = isEvent ? put(signed: r.result, at: next) : put(r.key, at: next)
        }
        window.pointee.last_ns = time
        commit(window, start, next)
    }

    /// Where `putFile` expects a path.
    static func pathPlace(in window: Window) -> Bytes {
        iotrap_window_bytes(window) + Int(window.pointee.used + IOTRAP_RECORD_BYTES_MAX)
    }

    /// Writes the name of a file whose path is in its place.
    static func putFile(
        _ number: UInt32, _ facts: iotrap_file_facts, isSized: Bool, pathBytes: Int,
        in window: Window
    ) {
        let path = pathPlace(in: window)
        let start = iotrap_window_bytes(window) + Int(window.pointee.used)
        var next = start
        next[0] = UInt8(IOTRAP_RECORD_FILE.rawValue)
        next = put(UInt64(number), at: next + 1)
        next = put(UInt64(isSized ? IOTRAP_TRACE_FILE_SIZE_KNOWN : 0), at: next)
        next = put(UInt64(facts.status_flags), at: next)
        next = put(UInt64(facts.mode & 0o7777), at: next)
        next = put(isSized ? UInt64(max(0, facts.size)) : 0, at: next)
        next = put(UInt64(pathBytes), at: next)
        for index in 0..<pathBytes { next[index] = path[index] }
        commit(window, start, next + pathBytes)
    }

    /// Says whose records follow, where that has not been said.
    @inline(__always)
    private static func putThread(in window: Window, at start: Bytes) -> Bytes {
        let owner = window.pointee.owner
        if window.pointee.thread == owner { return start }
        window.pointee.thread = owner
        window.pointee.record_count &+= 1
        start[0] = UInt8(IOTRAP_RECORD_THREAD.rawValue)
        return put(UInt64(owner), at: start + 1)
    }

    @inline(__always)
    private static func commit(_ window: Window, _ start: Bytes, _ end: Bytes) {
        window.pointee.record_count &+= 1
        // releasing: a killed process leaves whole records
        address(of: &window.pointee.used).atomic.pointee.store(
            window.pointee.used &+ UInt32(truncatingIfNeeded: end - start), ordering: .releasing)
    }

    /// The number of a file + 1, 0 for none, from its entry in the table.
    @inline(__always)
    private static func number(of entry: UInt32) -> UInt32 {
        let number = entry & ~(IOTRAP_RECORDED_APPEND | IOTRAP_RECORDED_DEVICE)
        return number < IOTRAP_RECORDED_FIRST ? 0 : number - 1
    }

    @inline(__always)
    private static func put(_ value: UInt64, at start: Bytes) -> Bytes {
        var value = value
        var next = start
        while value >= 0x80 {
            next.pointee = UInt8(truncatingIfNeeded: value) | 0x80
            next += 1
            value >>= 7
        }
        next.pointee = UInt8(truncatingIfNeeded: value)
        return next + 1
    }

    @inline(__always)
    private static func put(signed value: Int64, at start: Bytes) -> Bytes {
        put(UInt64(bitPattern: (value << 1) ^ (value >> 63)), at: start)
    }
}
