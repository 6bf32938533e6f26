import CIOTrap
import CIOTrapEngine
import Synchronization

// Start, threads, fork and end of the process.

/// See iotrap_engine.h.
@c @implementation
public func iotrap_start(
    _ environment: UnsafePointer<UnsafeMutablePointer<CChar>?>?, _ secure: Int32
) {
    guard MemoryLayout<ProcessState>.size <= Int(IOTRAP_PROCESS_BYTES),
        process.pointee.generation == 0, secure == 0
    else { return }
    let state = process
    state.pointee.configuration = Configuration()
    state.pointee.statsWanted = true
    guard EnvironmentReader.read(environment) else { return }
    guard state.pointee.configuration.mode != IOTRAP_MODE_OFF.rawValue else { return }
    // Without a page that fork wipes, a child could take its parent's rings for its own.
    guard let page = iotrap_wipe_on_fork_page() else { return }
    state.pointee.guardPage = page
    state.pointee.generation = 1
    page.pointee = 1
    Pools.start()
    prepareRouting()
    iotrap_thread_watch_start()
    state.pointee.isActive = true
    iotrap_active_set()
    iotrap_guard_set(page)
    EnvironmentReader.startRecording(environment)
}

/// Works out what the configuration means for the hot path.
func prepareRouting() {
    let state = process
    let configuration = state.pointee.configuration
    let off = IOTRAP_SETTING_OFF.rawValue
    let on = IOTRAP_SETTING_ON.rawValue
    let ring = configuration.setting(IOTRAP_TECHNIQUE_RING.rawValue)
    let split = configuration.setting(IOTRAP_TECHNIQUE_SPLIT.rawValue)
    state.pointee.servesBuffered = ring == on
    state.pointee.servesVectored = ring != off || split != off
    if ring == on {
        state.pointee.directMinimumBytes = 0
    } else if split != off {
        state.pointee.directMinimumBytes = configuration.splitChunkBytes * 2
    } else {
        state.pointee.directMinimumBytes = UInt64.max
    }
    state.pointee.servesDirect = ring != off || split != off
    state.pointee.servesSync =
        ring == on || configuration.setting(IOTRAP_TECHNIQUE_GROUP_SYNC.rawValue) != off
    fillQuickAnswers()
}

/// Writes down for the hooks what `passReason` says of every operation on every kind of slot where
/// the call's size does not matter.
private func fillQuickAnswers() {
    for operation in 0..<IOTRAP_OP_COUNT.rawValue {
        for kind in 0..<IOTRAP_DESCRIPTOR_KINDS {
            // The greatest size passes only where every size does.
            let reason = passReason(
                operation, Slot(word: UInt64(kind)), UInt64.max, lastWasFast: false)
            iotrap_quick_entry(operation, kind).pointee =
                reason.map { UInt8($0.rawValue) } ?? UInt8(IOTRAP_QUICK_ASK)
        }
    }
}

/// Makes an inactive thread ready to count and to be served; false when it must stay bare.
@inline(never)
func enter(_ thread: UnsafeMutablePointer<iotrap_thread>) -> Bool {
    guard process.pointee.isActive, process.pointee.isRestricted == 0,
        thread.pointee.state != IOTRAP_STATE_BARE
    else { return false }
    var mask: UInt64 = 0
    iotrap_signals_block(&mask)
    defer { iotrap_signals_restore(&mask) }
    if let page = process.pointee.guardPage { noticeFork(page) }
    if thread.pointee.state != iotrap_guard_word() { attach(thread) }
    return true
}

private func attach(_ thread: UnsafeMutablePointer<iotrap_thread>) {
    thread.pointee.thread_id = iotrap_thread_id()
    FutexLock.acquire(processLock)
    let index = Segment.claimBlock(threadID: UInt32(thread.pointee.thread_id))
    FutexLock.release(processLock)
    thread.pointee.block = nil
    if let index {
        thread.pointee.block_index = index
        thread.pointee.block = Segment.block(index)
    }
    thread.pointee.histograms = 0
    thread.pointee.ring = nil
    thread.pointee.ring_error = 0
    thread.pointee.caller = nil
    thread.pointee.inside = 0
    thread.pointee.posix_ring = nil
    thread.pointee.suspends = 0
    thread.pointee.window = nil
    thread.pointee.recording = 0
    for operation in 0..<IOTRAP_OP_COUNT.rawValue {
        // The first call is timed: short programs would else show no latency at all.
        iotrap_countdown(thread, operation).pointee = 1
        iotrap_interval(thread, operation).pointee = 1
    }
    iotrap_thread_watch(thread)
    thread.pointee.state = process.pointee.generation
}

/// Finds out whether this is a forked child that has not noticed yet. Its first calls may come
/// from several threads at once, made before any call: one of them does the work.
private func noticeFork(_ page: UnsafeMutablePointer<UInt32>) {
    let word = page.atomic
    while true {
        let (claimed, seen) = word.pointee.compareExchange(
            expected: 0, desired: IOTRAP_STATE_NOBODY, ordering: .acquiring)
        if claimed { return becomeChild() }
        // acquiring: pairs with the store that ends `becomeChild`
        if seen != IOTRAP_STATE_NOBODY { return }
        iotrap_pause_ns(10_000)
    }
}

/// The first call in a forked child. It has at first one thread, no rings (they stay with the
/// parent's tasks), no segment, and file records whose locks may be held by threads that are not
/// here.
private func becomeChild() {
    let state = process
    state.pointee.lock = FutexLock()
    Segment.forget()
    if let files = state.pointee.files {
        iotrap_pages_free(files, MemoryLayout<FileRecord>.stride * FileTable.sets * FileTable.ways)
        state.pointee.files = nil
    }
    CallerRing.forgetAll()
    ContextTable.forgetAll()
    Service.forget()
    PosixRing.forget()
    RequestPool.reset()
    Pools.forget()
    Recorder.forget()
    DescriptorTable.forEach(0, UInt32.max) { fd, word in
        if Slot(word: word.pointee).kind == .engine {
            word.pointee = 0
            iotrap_close_raw(fd)
        }
    }
    state.pointee.generation &+= 1
    if state.pointee.generation >= IOTRAP_STATE_NOBODY { state.pointee.generation = 1 }
    // releasing: who sees the new generation sees all of the above
    state.pointee.guardPage?.atomic.pointee.store(state.pointee.generation, ordering: .releasing)
}

/// See iotrap_engine.h.
@c @implementation
public func iotrap_thread_ended(_ thread: UnsafeMutablePointer<iotrap_thread>) {
    // Under a filter of the program's own any call of ours might be the one that kills.
    guard process.pointee.isRestricted == 0 else { return }
    let isAttached = thread.pointee.state == iotrap_guard_word()
    var mask: UInt64 = 0
    iotrap_signals_block(&mask)
    // Destructors that run after this one may still do I/O: it goes straight through.
    thread.pointee.state = IOTRAP_STATE_BARE
    if isAttached {
        CallerRing.end(thread)
        PosixRing.end(thread)
        ThreadRing.drop(thread)
        Recorder.threadEnded(thread)
        if thread.pointee.block != nil {
            thread.pointee.block = nil
            Segment.releaseBlock(thread.pointee.block_index)
        }
    }
    iotrap_signals_restore(&mask)
}

/// See iotrap_engine.h.
@c @implementation
public func iotrap_finish() {
    guard process.pointee.isActive, process.pointee.isRestricted == 0,
        process.pointee.guardPage?.pointee != 0
    else { return }
    Recorder.flush()
    Segment.finish()
}

/// See iotrap_engine.h.
@c @implementation
public func iotrap_follows_exec() -> Int32 {
    process.pointee.isActive && process.pointee.isRestricted == 0
        && process.pointee.configuration.followsExec ? 1 : 0
}

/// See iotrap_engine.h.
@c @implementation
public func iotrap_restrict() {
    // What is on rings ends before waiting for it may be forbidden; io_getevents still finds it.
    if process.pointee.isActive && process.pointee.isRestricted == 0 {
        CallerRing.drainAll(iotrap_self())
        PosixRing.settle(iotrap_self())
        Service.retire()
    }
    iotrap_recording_set(0)
    process.pointee.isRestricted = 1
    iotrap_guard_close()
}
