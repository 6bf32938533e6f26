import CIOTrap
import CIOTrapEngine
import Synchronization

/// The part of this process: a file to which windows are appended as chunks. It is opened for each
/// of them, so that the program has no descriptor that it does not know of. The caller holds the
/// recorder's lock, with signals blocked.
enum RecordPart {
    private static var state: UnsafeMutablePointer<RecorderState> { Recorder.state }
    private static let headerBytes = MemoryLayout<iotrap_trace_header>.size
    private static let chunkHeaderBytes = MemoryLayout<iotrap_trace_chunk>.size

    /// Gives this process a name that no other one of the recording has: PID-NUMBER.
    static func ensureName() -> Bool {
        guard state.pointee.name == 0, let control = state.pointee.control else { return true }
        state.pointee.name =
            address(of: &control.pointee.processes).atomic.pointee.wrappingAdd(
                1, ordering: .relaxed
            ).newValue
        let parts = iotrap_control_parts(control)
        var used = 0
        while used < Int(IOTRAP_RECORDING_PATH_BYTES), parts[used] != 0 {
            state.pointee.partPath[used] = UInt8(bitPattern: parts[used])
            used += 1
        }
        var name = PathBuffer()
        _ = name.append("/")
        _ = name.append(decimal: UInt64(iotrap_process_id()))
        _ = name.append("-")
        _ = name.append(decimal: UInt64(state.pointee.name))
        let path = address(of: &state.pointee.partPath, element: used)
        let count = name.count
        return name.withAddress {
            let text = UnsafePointer<UInt8>(bitPattern: $0)!
            for index in 0...count { path[index] = text[index] }
            return 1
        } == 1
    }

    /// Appends what a window holds, and empties it.
    ///
    /// - Returns: nil, or why that failed: the window then stays as it is.
    static func write(_ window: Recorder.Window) -> iotrap_recording_drop? {
        guard let control = state.pointee.control, ensureName() else { return IOTRAP_DROP_ACCESS }
        let isFirst = state.pointee.partBytes == 0
        let payload = Int(window.pointee.used)
        let bytes = (isFirst ? headerBytes : 0) + chunkHeaderBytes + payload
        guard reserve(control, UInt64(bytes)) else { return IOTRAP_DROP_FULL }
        let result =
            isFirst ? writeFirst(control, window, payload) : writeNext(window, payload)
        if result < 0 {
            address(of: &control.pointee.bytes_written).atomic.pointee.wrappingSubtract(
                UInt64(bytes), ordering: .relaxed)
            // ENOSPC, EFBIG, EDQUOT
            let isFull = result == -28 || result == -27 || result == -122
            return isFull ? IOTRAP_DROP_DISK : IOTRAP_DROP_ACCESS
        }
        state.pointee.partBytes += Int64(bytes)
        window.pointee.base_ns = window.pointee.last_ns
        window.pointee.record_count = 0
        window.pointee.thread = 0
        // releasing: whoever finds a window with records, after a kill, finds the number of a
        // chunk that is in the part, or those records nowhere else.
        address(of: &window.pointee.used).atomic.pointee.store(0, ordering: .releasing)
        address(of: &window.pointee.chunk).atomic.pointee.wrappingAdd(1, ordering: .releasing)
        return nil
    }

    /// Takes so many bytes from what all parts together may have.
    private static func reserve(
        _ control: UnsafeMutablePointer<iotrap_recording_control>, _ bytes: UInt64
    ) -> Bool {
        let written = address(of: &control.pointee.bytes_written).atomic
        let sum = written.pointee.wrappingAdd(bytes, ordering: .relaxed).newValue
        guard control.pointee.bytes_max != 0, sum > control.pointee.bytes_max else { return true }
        written.pointee.wrappingSubtract(bytes, ordering: .relaxed)
        return false
    }

    private struct FirstHeader {
        var header = iotrap_trace_header()
        var chunk = iotrap_trace_chunk()
    }

    private static func writeFirst(
        _ control: UnsafeMutablePointer<iotrap_recording_control>, _ window: Recorder.Window,
        _ payload: Int
    ) -> Int32 {
        var both = FirstHeader()
        both.header.magic = IOTRAP_RECORDING_PART_MAGIC
        both.header.version = IOTRAP_RECORDING_VERSION
        both.header.header_bytes = UInt32(headerBytes)
        both.header.process_id = window.pointee.process_id
        both.header.started_realtime_ns = control.pointee.started_realtime_ns
        both.header.crc32c = iotrap_checksum(&both.header, headerBytes - 4)
        both.chunk = chunk(window, payload)
        return iotrap_write_part(
            path, 1, 0, &both, headerBytes + chunkHeaderBytes, iotrap_window_bytes(window),
            payload)
    }

    private static func writeNext(_ window: Recorder.Window, _ payload: Int) -> Int32 {
        var header = chunk(window, payload)
        return iotrap_write_part(
            path, 0, state.pointee.partBytes, &header, chunkHeaderBytes,
            iotrap_window_bytes(window), payload)
    }

    private static var path: UnsafePointer<CChar> {
        UnsafeRawPointer(address(of: &state.pointee.partPath)).assumingMemoryBound(to: CChar.self)
    }

    private static func chunk(_ window: Recorder.Window, _ payload: Int) -> iotrap_trace_chunk {
        var header = iotrap_trace_chunk()
        header.magic = IOTRAP_TRACE_CHUNK_MAGIC
        header.kind = UInt8(IOTRAP_RECORDING_CHUNK)
        header.stored_bytes = UInt32(payload)
        header.raw_bytes = UInt32(payload)
        header.record_count = window.pointee.record_count
        header.stream = window.pointee.stream
        header.base_ns = window.pointee.base_ns
        header.first_event = window.pointee.chunk
        header.payload_crc32c = iotrap_checksum(iotrap_window_bytes(window), payload)
        header.crc32c = iotrap_checksum(&header, chunkHeaderBytes - 4)
        return header
    }
}
