import CIOTrap
import CIOTrapEngine
import Synchronization

/// Finds the record of a file by device and inode: 128 sets of 8, made when first needed.
/// Signals are blocked by the caller, so the process lock cannot be wanted twice by one thread.
enum FileTable {
    static let sets = 128
    static let ways = 8

    /// The record of a file, pinned; nil when the table is full of records in use.
    static func pin(device: UInt64, inode: UInt64, fd: Int32) -> (
        UnsafeMutablePointer<FileRecord>,
        UInt32
    )? {
        let lock = processLock
        FutexLock.acquire(lock)
        defer { FutexLock.release(lock) }
        guard let base = table() else { return nil }
        let first = set(device, inode) * ways
        var free: Int?
        for index in first..<(first + ways) {
            let record = base + index
            if record.pointee.generation != 0, record.pointee.device == device,
                record.pointee.inode == inode
            {
                record.pinsWord.atomic.pointee.wrappingAdd(1, ordering: .acquiring)
                return (record, UInt32(index) + 1)
            }
            if record.isIdle && isBetterVictim(base, index, than: free) { free = index }
        }
        guard let index = free else { return nil }
        let record = base + index
        process.pointee.nextFileGeneration &+= 1
        if process.pointee.nextFileGeneration == 0 { process.pointee.nextFileGeneration = 1 }
        UnsafeMutableRawPointer(record).initializeMemory(
            as: UInt8.self, repeating: 0, count: MemoryLayout<FileRecord>.stride)
        for comparison in 0..<FileRecord.comparisonCount {
            record.comparison(comparison).initialize(to: Comparison())
        }
        record.pointee.device = device
        record.pointee.inode = inode
        record.pointee.isFUSE = iotrap_file_is_fuse(fd) != 0
        record.pointee.generation = process.pointee.nextFileGeneration
        record.pinsWord.atomic.pointee.store(1, ordering: .releasing)
        return (record, UInt32(index) + 1)
    }

    /// A record noted in a slot, pinned, if it still belongs to the same file.
    static func pin(index: UInt32, generation: UInt32) -> UnsafeMutablePointer<FileRecord>? {
        guard index > 0, index <= UInt32(sets * ways) else { return nil }
        let lock = processLock
        FutexLock.acquire(lock)
        defer { FutexLock.release(lock) }
        guard let base = process.pointee.files else { return nil }
        let record = base + Int(index - 1)
        guard record.pointee.generation == generation, generation != 0 else { return nil }
        record.pinsWord.atomic.pointee.wrappingAdd(1, ordering: .acquiring)
        return record
    }

    /// Never-used records first, then the one given out longest ago.
    private static func isBetterVictim(
        _ base: UnsafeMutablePointer<FileRecord>, _ index: Int, than other: Int?
    ) -> Bool {
        guard let other else { return true }
        return base[index].generation < base[other].generation
    }

    private static func table() -> UnsafeMutablePointer<FileRecord>? {
        if let base = process.pointee.files { return base }
        let bytes = MemoryLayout<FileRecord>.stride * sets * ways
        guard let pages = iotrap_pages(bytes, 0) else { return nil }
        let base = pages.assumingMemoryBound(to: FileRecord.self)
        process.pointee.files = base
        return base
    }

    private static func set(_ device: UInt64, _ inode: UInt64) -> Int {
        // Fibonacci hashing: inode numbers are often consecutive
        let mixed = (inode ^ device &* 31) &* 0x9e37_79b9_7f4a_7c15
        return Int(mixed >> 57)
    }
}

/// The one lock of the process: taken for set-up work and file look-ups only.
var processLock: UnsafeMutablePointer<FutexLock> {
    address(of: &process.pointee.lock)
}
