import CIOTrapEngine
import Synchronization

// What the hooks report of files that may be in a pool. They call only while pools are in use.

/// False where pools have no say. This may be the first call of a forked child.
private func isOurs() -> Bool {
    let thread = iotrap_self()
    return Pools.areActive && process.pointee.isActive && process.pointee.isRestricted == 0
        && (thread.pointee.state == iotrap_guard_word() || enter(thread))
}

/// Calls `body` with the pool files that a descriptor is one of, whatever they were opened as.
private func forEachRecord(of fd: Int32, _ body: (PoolFiles.File) -> Void) {
    var facts = iotrap_file_facts()
    guard isOurs(), fd >= 0, iotrap_file_facts(fd, &facts) == 0 else { return }
    // A file that is mapped before it is first read or written has no record yet.
    if facts.mode & Classification.typeMask == Classification.regular {
        _ = PoolFiles.find(fd, facts)
    }
    PoolFiles.forEach(device: facts.device, inode: facts.inode) { _, record in body(record) }
}

private func restrict(_ fd: Int32, _ reason: UInt32) {
    forEachRecord(of: fd) { record in
        // relaxed: a call that is under way at the same time may come before or after
        PoolFiles.restrictedWord(record).pointee.bitwiseOr(reason, ordering: .relaxed)
    }
}

/// See iotrap_pool.h.
@c @implementation
public func iotrap_pool_mapped(_ fd: Int32) { restrict(fd, IOTRAP_POOL_MAPPED) }

/// See iotrap_pool.h.
@c @implementation
public func iotrap_pool_locked(_ fd: Int32) { restrict(fd, IOTRAP_POOL_LOCKED) }

/// See iotrap_pool.h.
@c @implementation
public func iotrap_pool_resized(_ fd: Int32) {
    forEachRecord(of: fd) { record in
        PoolFiles.knownSizeWord(record).pointee.store(0, ordering: .relaxed)
    }
}

/// See iotrap_pool.h.
@c @implementation
public func iotrap_pool_resized_any() {
    guard process.pointee.isActive, Pools.areActive else { return }
    for index in 0..<process.pointee.poolFileCount {
        PoolFiles.knownSizeWord(PoolFiles.file(index)).pointee.store(0, ordering: .relaxed)
    }
}

/// See iotrap_pool.h.
@c @implementation
public func iotrap_pool_sync_all(_ fd: Int32) -> Int64 {
    guard isOurs(), fd >= 0 else { return 0 }
    return PoolSyncs.syncAll(fd)
}
