import CIOTrap
import CIOTrapEngine
import Synchronization

/// The windows of this process, in groups: files on a memory file system that are mapped 16 windows
/// at a time and get memory one window at a time, so that no store into one can fail. The caller
/// holds the recorder's lock.
enum RecordWindows {
    typealias Window = Recorder.Window

    private static let groupWindows = IOTRAP_RECORDING_GROUP_WINDOWS
    private static let windowBytes = Int(IOTRAP_RECORDING_WINDOW_BYTES)
    private static var groupBytes: Int { windowBytes * Int(groupWindows) }
    private static var state: UnsafeMutablePointer<RecorderState> { Recorder.state }

    /// A window by its index; nil when its group is not mapped.
    static func window(_ index: UInt32) -> Window? {
        let base = state.pointee.groups[Int(index / groupWindows)]
        guard base != 0 else { return nil }
        return UnsafeMutableRawPointer(bitPattern: base)!.advanced(
            by: Int(index % groupWindows) * windowBytes
        ).assumingMemoryBound(to: iotrap_recording_window.self)
    }

    /// A window that no thread has, or a new one.
    static func claim(_ threadID: UInt32) -> Window? {
        for index in 0..<state.pointee.windowCount {
            guard let window = window(index) else { continue }
            let owner = address(of: &window.pointee.owner).atomic
            // acquiring: pairs with the end of the thread that had it
            if owner.pointee.load(ordering: .acquiring) == 0 {
                owner.pointee.store(threadID, ordering: .relaxed)
                return window
            }
        }
        let index = state.pointee.windowCount
        guard index < groupWindows * 256,
            state.pointee.groups[Int(index / groupWindows)] != 0 || mapGroup(index / groupWindows),
            let window = window(index), iotrap_reserve(window, windowBytes, -1, 0) == 0
        else { return nil }
        window.pointee.process_id = UInt32(bitPattern: iotrap_process_id())
        window.pointee.stream = index
        window.pointee.owner = threadID
        // releasing: who sees the magic number sees the rest
        address(of: &window.pointee.magic).atomic.pointee.store(
            IOTRAP_RECORDING_WINDOW_MAGIC, ordering: .releasing)
        state.pointee.windowCount = index + 1
        return window
    }

    /// Writes the windows of a thread and of nobody.
    ///
    /// - Returns: true when that was all there is; the windows are then gone.
    static func flush(_ thread: Recorder.Thread) -> Bool {
        var isAll = state.pointee.windowCount > 0
        for index in 0..<state.pointee.windowCount {
            guard let window = window(index) else { continue }
            let owner = address(of: &window.pointee.owner).atomic.pointee.load(ordering: .acquiring)
            guard owner == 0 || window == thread.pointee.window else {
                isAll = false
                continue
            }
            if window.pointee.used > 0, RecordPart.write(window) != nil { isAll = false }
        }
        // A program that goes on after a failed exec makes new ones.
        if isAll { removeAll() }
        return isAll
    }

    /// A child has not got them.
    static func forget() {
        state.pointee.groups = InlineArray(repeating: 0)
        state.pointee.windowCount = 0
        state.pointee.groupNames = 0
    }

    private static func removeAll() {
        let count = (state.pointee.windowCount + groupWindows - 1) / groupWindows
        withDirectory { directory in
            for index in 0..<count {
                let name = groupName(state.pointee.groupNames - count + index)
                _ = name.withAddress {
                    iotrap_remove_file(directory, UnsafePointer(bitPattern: $0)!)
                    return 0
                }
            }
            return 0
        }
        for index in 0..<Int(count) {
            guard let base = UnsafeMutableRawPointer(bitPattern: state.pointee.groups[index]) else {
                continue
            }
            iotrap_pages_free(base, groupBytes)
            state.pointee.groups[index] = 0
        }
        state.pointee.windowCount = 0
    }

    private static func mapGroup(_ group: UInt32) -> Bool {
        guard RecordPart.ensureName() else { return false }
        let name = groupName(state.pointee.groupNames)
        let fd = withDirectory { directory in
            Int32(
                name.withAddress {
                    Int(
                        iotrap_private_file(
                            directory, UnsafePointer(bitPattern: $0)!, Int64(groupBytes)))
                })
        }
        guard fd >= 0 else { return false }
        defer { iotrap_close_raw(fd) }
        guard let base = iotrap_map_shared(fd, 0, groupBytes) else { return false }
        state.pointee.groupNames += 1
        state.pointee.groups[Int(group)] = UInt(bitPattern: base)
        return true
    }

    /// PID-NUMBER.K, which begins as the part's name does.
    private static func groupName(_ group: UInt32) -> PathBuffer {
        var name = PathBuffer()
        _ = name.append(decimal: UInt64(iotrap_process_id()))
        _ = name.append("-")
        _ = name.append(decimal: UInt64(state.pointee.name))
        _ = name.append(".")
        _ = name.append(decimal: UInt64(group))
        return name
    }

    @discardableResult
    private static func withDirectory(_ body: (Int32) -> Int32) -> Int32 {
        let opened = state.pointee.buffers.withAddress {
            Int(iotrap_private_directory(UnsafePointer(bitPattern: $0)!))
        }
        let directory = Int32(opened)
        guard directory >= 0 else { return directory }
        let result = body(directory)
        iotrap_close_raw(directory)
        return result
    }
}
