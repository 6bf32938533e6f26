import CIOTrap
import CIOTrapEngine
import Synchronization

/// What a process that is recorded knows of the recording.
struct RecorderState {
    /// Shared by all processes of the recording; nil: nothing is recorded.
    var control: UnsafeMutablePointer<iotrap_recording_control>?
    /// The directory of the control file, in memory.
    var buffers: PathBuffer
    /// Of windows, groups, and what this process has in its part.
    var lock: FutexLock
    /// Mapped groups of windows; 0: none.
    var groups: InlineArray<256, UInt>
    var windowCount: UInt32
    /// Groups ever made, for their names.
    var groupNames: UInt32
    /// Distinguishes processes of one number; 0: not named yet.
    var name: UInt32
    /// Bytes in the part; 0: there is none.
    var partBytes: Int64
    /// The path of the part, zero-terminated.
    var partPath: InlineArray<4160, UInt8>
    /// Files named so far.
    var fileCount: UInt32
    /// Records to drop before a window is asked for again.
    var refusals: UInt32
}

/// Writes down what the hooks tell it.
///
/// Each thread has a window: memory shared with a file on a memory file system, so that a killed
/// process loses nothing that it wrote there. A full window becomes a chunk of the process's part,
/// with one write by the thread that filled it. What finds no room is dropped and counted; the
/// program's own I/O never waits for room.
enum Recorder {
    typealias Thread = UnsafeMutablePointer<iotrap_thread>
    typealias Window = UnsafeMutablePointer<iotrap_recording_window>
    typealias Record = UnsafePointer<iotrap_recorded>

    static var state: UnsafeMutablePointer<RecorderState> {
        address(of: &process.pointee.recorder)
    }

    /// Bytes of a window that records may take.
    static let capacity = IOTRAP_RECORDING_WINDOW_BYTES - IOTRAP_RECORDING_WINDOW_HEADER
    /// Records that are dropped after a failed attempt to write a part, before the next one.
    private static let patience: UInt32 = 4096
    /// And after there was no window to be had: that may be over soon.
    private static let windowPatience: UInt32 = 64

    /// Notes the end of a recording in memory that all processes share.
    @inline(__always)
    static var isOn: Bool {
        guard let control = state.pointee.control else { return false }
        return address(of: &control.pointee.ended).atomic.pointee.load(ordering: .relaxed) == 0
    }

    // MARK: - Records

    /// A thread that may write: attached, and not inside the recorder already.
    @inline(__always)
    private static func begin(_ thread: Thread) -> Bool {
        guard isOn else { return false }
        if thread.pointee.state != iotrap_guard_word(), !enter(thread) { return false }
        let here = iotrap_frame()
        if thread.pointee.recording == 0 {
            thread.pointee.recording = here
            return true
        }
        // See Inside: a frame above the noted one means that it was jumped out of.
        if here > thread.pointee.recording, iotrap_on_signal_stack() == 0 {
            thread.pointee.recording = here
            return true
        }
        drop(IOTRAP_DROP_HANDLER)
        return false
    }

    @inline(__always)
    private static func end(_ thread: Thread) {
        thread.pointee.recording = 0
    }

    /// Writes a record, or drops it.
    @inline(__always)
    static func append(_ thread: Thread, _ record: Record) {
        guard begin(thread) else { return }
        if let window = room(thread, bytes: 0) {
            RecordEncoder.put(record, in: window, startedNanoseconds: started)
        }
        end(thread)
    }

    /// Names a file.
    ///
    /// - Parameter path: writes the path, at most so many bytes, and returns their number, or a
    ///   negative one when the file is not to be recorded.
    /// - Returns: its entry in the table, nil when there is no room for it.
    static func name(
        _ thread: Thread, _ facts: iotrap_file_facts, isSized: Bool,
        _ path: (UnsafeMutablePointer<UInt8>, Int) -> Int
    ) -> UInt32? {
        guard begin(thread) else { return nil }
        defer { end(thread) }
        guard let window = room(thread, bytes: UInt32(RecordEncoder.pathBytesMax)) else {
            return nil
        }
        // The path comes to its place, or near it, at once: it is too long for small stacks.
        let place = RecordEncoder.pathPlace(in: window)
        let count = path(place, RecordEncoder.pathBytesMax)
        guard count > 0 else { return IOTRAP_RECORDED_NOT }
        let number = address(of: &state.pointee.fileCount).atomic.pointee.wrappingAdd(
            1, ordering: .relaxed
        ).oldValue
        guard number < IOTRAP_RECORDED_NUMBER_MAX else { return IOTRAP_RECORDED_NOT }
        RecordEncoder.putFile(
            number, facts, isSized: isSized, pathBytes: count, in: window)
        let isAppending = facts.status_flags & OpenFlags.append != 0
        return (number + IOTRAP_RECORDED_FIRST) | (isAppending ? IOTRAP_RECORDED_APPEND : 0)
            | (isSized ? 0 : IOTRAP_RECORDED_DEVICE)
    }

    /// A number for the requests of one submission; 0 when there is none to be had.
    static func batch(_ thread: Thread) -> UInt32 {
        guard isOn, thread.pointee.state == iotrap_guard_word(),
            let window = thread.pointee.window
        else { return 0 }
        window.pointee.batch &+= 1
        return window.pointee.batch
    }

    /// When the recording began, in nanoseconds of CLOCK_MONOTONIC.
    private static var started: UInt64 { state.pointee.control?.pointee.started_ns ?? 0 }

    static func drop(_ reason: iotrap_recording_drop, _ count: UInt64 = 1) {
        guard let control = state.pointee.control else { return }
        iotrap_control_dropped(control, reason.rawValue).atomic.pointee.wrappingAdd(
            count, ordering: .relaxed)
    }

    // MARK: - Windows

    /// The thread's window with room for a record and as many bytes more; nil, with the record
    /// counted as dropped, when there is none.
    @inline(__always)
    private static func room(_ thread: Thread, bytes: UInt32) -> Window? {
        guard let window = thread.pointee.window else { return newRoom(thread, bytes: bytes) }
        if window.pointee.used + IOTRAP_RECORD_BYTES_MAX + bytes <= capacity { return window }
        return flushed(window) ? window : nil
    }

    @inline(never)
    private static func newRoom(_ thread: Thread, bytes: UInt32) -> Window? {
        // relaxed: a hint; several threads may count at once
        let refusals = address(of: &state.pointee.refusals).atomic
        let left = refusals.pointee.load(ordering: .relaxed)
        if left == 0, claim(thread) { return room(thread, bytes: bytes) }
        refusals.pointee.store(left == 0 ? windowPatience : left - 1, ordering: .relaxed)
        drop(IOTRAP_DROP_ACCESS)
        return nil
    }

    /// Makes a full window empty; false, with a record counted as dropped, when that fails.
    @inline(never)
    private static func flushed(_ window: Window) -> Bool {
        if window.pointee.patience > 0 {
            window.pointee.patience -= 1
            drop(iotrap_recording_drop(window.pointee.failure))
            return false
        }
        var mask: UInt64 = 0
        iotrap_signals_block(&mask)
        FutexLock.acquire(address(of: &state.pointee.lock))
        let failure = RecordPart.write(window)
        FutexLock.release(address(of: &state.pointee.lock))
        iotrap_signals_restore(&mask)
        guard let failure else { return true }
        window.pointee.failure = failure.rawValue
        window.pointee.patience = patience
        drop(failure)
        return false
    }

    /// Gives a thread a window.
    private static func claim(_ thread: Thread) -> Bool {
        var mask: UInt64 = 0
        iotrap_signals_block(&mask)
        FutexLock.acquire(address(of: &state.pointee.lock))
        defer {
            FutexLock.release(address(of: &state.pointee.lock))
            iotrap_signals_restore(&mask)
        }
        guard let window = RecordWindows.claim(UInt32(thread.pointee.thread_id)) else {
            return false
        }
        thread.pointee.window = window
        return true
    }

    /// A thread ends: its window is for the next one, which goes on behind its records.
    static func threadEnded(_ thread: Thread) {
        guard let window = thread.pointee.window else { return }
        thread.pointee.window = nil
        // releasing: pairs with the claim, which reads under the lock
        address(of: &window.pointee.owner).atomic.pointee.store(0, ordering: .releasing)
    }

    // MARK: - Process

    /// Begins to record in a directory that `iotrap record` has made.
    ///
    /// - Returns: why not, nil when it has begun.
    static func start(_ directory: UnsafePointer<CChar>) -> StaticString? {
        let bytes = MemoryLayout<iotrap_recording_control>.size
        guard directory[0] == CChar(UInt8(ascii: "/")),
            state.pointee.buffers.assign(directory), state.pointee.buffers.count < 200
        else { return "; write an absolute path of less than 200 bytes" }
        guard let page = iotrap_map_control(directory, bytes) else {
            return "; it is no recording of this user's: start the program with iotrap record"
        }
        let control = page.assumingMemoryBound(to: iotrap_recording_control.self)
        guard control.pointee.magic == IOTRAP_RECORDING_CONTROL_MAGIC,
            control.pointee.version == IOTRAP_RECORDING_VERSION,
            control.pointee.control_bytes == UInt32(bytes)
        else { return "; another version of iotrap made it: use one version for both" }
        state.pointee.control = control
        iotrap_recording_set(1)
        return nil
    }

    /// A forked child: what its parent has mapped and named is not its own.
    static func forget() {
        state.pointee.lock = FutexLock()
        RecordWindows.forget()
        state.pointee.name = 0
        state.pointee.partBytes = 0
        state.pointee.fileCount = 0
        state.pointee.refusals = 0
        RecordedFiles.forget(0, UInt32.max)
    }

    /// Before the process, or what it runs, ends: what is in the windows of this thread and of
    /// ended ones goes to the part.
    static func flush() {
        guard isOn else { return }
        let thread = iotrap_self()
        // A handler that came while a record was written: the rest of it goes to this window.
        guard process.pointee.isRestricted == 0, thread.pointee.state == iotrap_guard_word(),
            thread.pointee.recording == 0
        else { return }
        iotrap_positions_share(thread, 0, UInt32.max)
        var mask: UInt64 = 0
        iotrap_signals_block(&mask)
        FutexLock.acquire(address(of: &state.pointee.lock))
        if RecordWindows.flush(thread) { thread.pointee.window = nil }
        FutexLock.release(address(of: &state.pointee.lock))
        iotrap_signals_restore(&mask)
    }
}
