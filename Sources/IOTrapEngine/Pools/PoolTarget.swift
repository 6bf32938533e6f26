import CIOTrap
import CIOTrapEngine
import Synchronization

/// What a call is about, as far as a pool must know it.
struct PoolShape {
    var writes: Bool
    var offset: Int64
    var bytes: UInt64
    /// RWF_*
    var flags: UInt32
}

/// Decides in the calling thread whether a request may be spread over the paths of a pool. What a
/// slot says of a descriptor is a hint; the facts come from the kernel.
enum PoolTarget {
    enum Answer {
        /// The record's index + 1 and its generation: to be entered.
        case pool(UInt32, UInt32)
        case home(iotrap_reason)
    }

    private enum Flags {
        /// RWF_HIPRI, RWF_DSYNC, RWF_SYNC
        static let harmless: UInt32 = 7
        /// RWF_DSYNC, RWF_SYNC
        static let durable: UInt32 = 6
    }

    /// Judges a transfer. On `.pool` the record has been entered for the request.
    static func judge(
        _ fd: Int32, _ slot: Slot, _ facts: iotrap_file_facts, _ shape: PoolShape
    ) -> Answer {
        guard let record = PoolFiles.enter(slot.file, slot.generation) else {
            DescriptorTable.store(fd, Slot(word: 0))
            return .home(IOTRAP_REASON_UNPROVEN)
        }
        if let reason = refusal(record, facts, shape) {
            // Not the file it was: to be looked at again at the next call.
            if reason == IOTRAP_REASON_UNPROVEN { DescriptorTable.store(fd, Slot(word: 0)) }
            PoolFiles.leave(record)
            return .home(reason)
        }
        record.usedAt = iotrap_clock()
        return .pool(slot.file, slot.generation)
    }

    private static func refusal(
        _ record: PoolFiles.File, _ facts: iotrap_file_facts, _ shape: PoolShape
    ) -> iotrap_reason? {
        guard record.pointee.device == facts.device, record.pointee.inode == facts.inode,
            record.pointee.status_flags == facts.status_flags & PoolFiles.flagMask
        else { return IOTRAP_REASON_UNPROVEN }
        if shape.flags & ~Flags.harmless != 0 { return IOTRAP_REASON_FLAGS }
        let restricted = PoolFiles.restrictedWord(record).pointee.load(ordering: .relaxed)
        let isDirect = facts.status_flags & OpenFlags.direct != 0
        if restricted & IOTRAP_POOL_MAPPED != 0 || (restricted != 0 && !isDirect) {
            return IOTRAP_REASON_MAPPED
        }
        guard shape.offset >= 0, shape.bytes > 0 else { return IOTRAP_REASON_SIZE_LIMIT }
        guard shape.writes else { return nil }
        // Only one path's cache may hold what is not on the storage yet.
        guard isDirect else { return IOTRAP_REASON_BUFFERED }
        if facts.status_flags & OpenFlags.append != 0 { return IOTRAP_REASON_APPEND }
        return extends(record, facts, shape) ? IOTRAP_REASON_EXTENDS_FILE : nil
    }

    /// Writes that make the file longer stay on one path: the others would not know of its end.
    private static func extends(
        _ record: PoolFiles.File, _ facts: iotrap_file_facts, _ shape: PoolShape
    ) -> Bool {
        let end = UInt64(shape.offset) &+ shape.bytes
        let known = PoolFiles.knownSizeWord(record)
        if end <= known.pointee.load(ordering: .relaxed) { return false }
        known.pointee.store(UInt64(max(0, facts.size)), ordering: .relaxed)
        return end > UInt64(max(0, facts.size))
    }

    /// True when a descriptor is known to be a pool's file.
    static func isKnown(_ fd: Int32, _ facts: iotrap_file_facts) -> Bool {
        guard Pools.areActive else { return false }
        let slot = DescriptorTable.load(fd)
        guard slot.kind == .pooled, let record = PoolFiles.enter(slot.file, slot.generation)
        else { return false }
        defer { PoolFiles.leave(record) }
        return record.pointee.device == facts.device && record.pointee.inode == facts.inode
    }

    /// Prepares a request of asynchronous I/O for its pool, if it is for one.
    static func prepare(
        _ request: RequestPool.Request, _ facts: iotrap_file_facts, bytes: UInt64
    ) {
        request.pointee.pool_file = 0
        guard Pools.areActive else { return }
        let fd = request.pointee.descriptor
        var slot = DescriptorTable.load(fd)
        if slot.kind == .unknown || slot.kind == .openedBuffered {
            slot = Classification.classify(fd) ?? Slot(word: 0)
        }
        guard slot.kind == .pooled else { return }
        let shape = PoolShape(
            writes: Requests.writes(request), offset: request.pointee.offset, bytes: bytes,
            flags: request.pointee.rw_flags)
        switch judge(fd, slot, facts, shape) {
        case .pool(let file, let generation):
            request.pointee.pool_file = file
            request.pointee.pool_generation = generation
        case .home(let reason):
            let thread = iotrap_self()
            if thread.pointee.state == iotrap_guard_word() { Recording.reason(thread, reason) }
        }
    }

    /// Gives up the pool of a request that was prepared and is not handed over after all.
    static func withdraw(_ request: RequestPool.Request) {
        guard request.pointee.pool_file != 0 else { return }
        PoolFiles.leave(PoolFiles.file(request.pointee.pool_file - 1))
        request.pointee.pool_file = 0
    }

    /// True for writes that are on the storage when they end.
    static func isDurable(_ statusFlags: UInt32, _ requestFlags: UInt32) -> Bool {
        statusFlags & OpenFlags.dataSync != 0 || requestFlags & Flags.durable != 0
    }
}
