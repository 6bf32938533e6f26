import CIOTrap
import CIOTrapEngine
import Synchronization

/// fsync and fdatasync.
enum SyncCalls {
    static func serve(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>
    ) -> Int64 {
        if Pools.areActive, process.pointee.isRestricted == 0,
            let result = PoolSyncs.serve(thread, call)
        {
            return result
        }
        guard process.pointee.isRestricted == 0, process.pointee.servesSync else {
            return decline(thread, call, IOTRAP_REASON_POLICY)
        }
        let setting = process.pointee.configuration.setting(IOTRAP_TECHNIQUE_GROUP_SYNC.rawValue)
        if setting == IOTRAP_SETTING_AUTO.rawValue, let slot = noted(call.pointee.descriptor),
            let result = compareNoted(thread, call, slot)
        {
            return result
        }
        var mask: UInt64 = 0
        // As for data: the wait ends only with the sync, and no handler may want our locks.
        iotrap_signals_block(&mask)
        let result = serveBlocked(thread, call, setting)
        iotrap_signals_restore(&mask)
        return result
    }

    /// The slot of a descriptor whose file record was found before.
    private static func noted(_ fd: Int32) -> Slot? {
        let slot = DescriptorTable.load(fd)
        return slot.file != 0 && slot.kind != .pooled ? slot : nil
    }

    /// The usual case, without asking the kernel anything: the comparison says plain. The slot may
    /// be stale; that would mislead the statistics of another file for a moment, nothing else.
    private static func compareNoted(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>,
        _ slot: Slot
    ) -> Int64? {
        guard let files = process.pointee.files else { return nil }
        let record = files + Int(slot.file - 1)
        guard record.pointee.generation == slot.generation else { return nil }
        let index = FileRecord.ComparisonIndex.sync(dataOnly: isDataOnly(call))
        if record.comparison(index).pointee.usesTechnique { return nil }
        return plain(thread, call, record, slot.file, index)
    }

    /// Makes the plain call, as a sample if other threads sync the file as well. They need not be
    /// in their syncs at this moment: a sync may keep their writes from getting there.
    private static func plain(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>,
        _ record: UnsafeMutablePointer<FileRecord>, _ file: UInt32, _ index: UInt32
    ) -> Int64 {
        call.pointee.population = RecentThreads.note(
            record.syncThreads, threadID: thread.pointee.thread_id)
        _ = Experiment.begin(call, record, file, index)
        if call.pointee.population <= 1 {
            // Nothing to share with: not a sample, but in flight for those who come.
            call.pointee.epoch = record.comparison(index).pointee.epoch &- 1
            return decline(thread, call, IOTRAP_REASON_ALONE)
        }
        return decline(thread, call, IOTRAP_REASON_COMPARED)
    }

    private static func serveBlocked(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>,
        _ setting: UInt32
    ) -> Int64 {
        let fd = call.pointee.descriptor
        var facts = iotrap_file_facts()
        guard iotrap_file_facts(fd, &facts) == 0 else {
            return decline(thread, call, IOTRAP_REASON_BAD_DESCRIPTOR)
        }
        let kind = Classification.kind(of: facts)
        guard kind == .buffered || kind == .direct else {
            DescriptorTable.store(fd, Slot(kind: .notRegular))
            return decline(thread, call, IOTRAP_REASON_NOT_REGULAR)
        }
        if setting == IOTRAP_SETTING_OFF.rawValue { return syncAlone(thread, call) }
        guard let (record, file) = pin(facts, fd) else {
            return decline(thread, call, IOTRAP_REASON_TABLE_FULL)
        }
        defer { record.unpin() }
        // Where there are pools, what a slot says of a file is theirs.
        if !Pools.areActive {
            DescriptorTable.store(
                fd,
                Slot(
                    kind: kind, flags: facts.status_flags, file: file,
                    generation: record.pointee.generation))
        }
        if setting == IOTRAP_SETTING_AUTO.rawValue {
            let index = FileRecord.ComparisonIndex.sync(dataOnly: isDataOnly(call))
            if !record.comparison(index).pointee.usesTechnique {
                return plain(thread, call, record, file, index)
            }
            _ = Experiment.begin(call, record, file, index)
        }
        call.pointee.population = RecentThreads.note(
            record.syncThreads, threadID: thread.pointee.thread_id)
        return syncInGroup(thread, call, record)
    }

    /// The record whose group a descriptor belongs to. Where a FUSE daemon may hold unwritten data
    /// per open file, a sync through one descriptor does not speak for another: each then has a
    /// record of its own, told apart by a device number no real device has.
    private static func pin(
        _ facts: iotrap_file_facts, _ fd: Int32
    ) -> (UnsafeMutablePointer<FileRecord>, UInt32)? {
        guard let found = FileTable.pin(device: facts.device, inode: facts.inode, fd: fd) else {
            return nil
        }
        let scope = process.pointee.configuration.syncScope
        let byDescriptor =
            scope == .descriptor || (scope == .automatic && found.0.pointee.isFUSE)
        guard byDescriptor else { return found }
        found.0.unpin()
        let device = facts.device ^ (UInt64(UInt32(bitPattern: fd)) + 1) << 32
        return FileTable.pin(device: device, inode: facts.inode, fd: fd)
    }

    private static func syncInGroup(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>,
        _ record: UnsafeMutablePointer<FileRecord>
    ) -> Int64 {
        if call.pointee.started_ns == 0 { call.pointee.started_ns = iotrap_clock() }
        var caller = Caller(
            thread: thread, descriptor: call.pointee.descriptor, dataOnly: isDataOnly(call))
        let outcome = GroupSync.sync(
            record.group(dataOnly: isDataOnly(call)), &caller, population: call.pointee.population)
        Recording.batches(
            thread, IOTRAP_TECHNIQUE_GROUP_SYNC, requests: 1, batches: outcome.led ? 1 : 0)
        finish(thread, call, IOTRAP_TECHNIQUE_GROUP_SYNC, outcome.result)
        return outcome.result
    }

    private static func syncAlone(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>
    ) -> Int64 {
        call.pointee.started_ns = iotrap_clock()
        let result = Backends.sync(thread, call.pointee.descriptor, dataOnly: isDataOnly(call))
        Recording.batches(thread, IOTRAP_TECHNIQUE_RING, requests: 1, batches: 1)
        finish(thread, call, IOTRAP_TECHNIQUE_RING, result)
        return result
    }

    private static func finish(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>,
        _ technique: iotrap_technique, _ result: Int64
    ) {
        let nanoseconds = iotrap_clock() &- call.pointee.started_ns
        Recording.served(
            thread, call, technique, result: result, nanoseconds: nanoseconds,
            isTrial: Experiment.isTrial(call))
        if call.pointee.file != 0 {
            Experiment.finish(thread, call, result: result, nanoseconds: nanoseconds)
        }
    }

    private static func isDataOnly(_ call: UnsafeMutablePointer<iotrap_call>) -> Bool {
        call.pointee.operation == IOTRAP_OP_FDATASYNC.rawValue
    }

    /// A group member's side of the real sync.
    private struct Caller: Syncing {
        let thread: UnsafeMutablePointer<iotrap_thread>
        let descriptor: Int32
        let dataOnly: Bool

        mutating func sync() -> Int64 {
            Backends.sync(thread, descriptor, dataOnly: dataOnly)
        }

        mutating func checkError() -> Int64 { Int64(iotrap_check_writeback_error(descriptor)) }
    }
}
