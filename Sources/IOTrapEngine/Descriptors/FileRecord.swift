import CIOTrap
import CIOTrapEngine
import Synchronization

/// What the engine remembers of one file (device and inode): its live comparisons and its syncs in
/// flight. Records live in zeroed pages and are recycled when nobody uses them.
struct FileRecord {
    static let comparisonCount: UInt32 = 18

    var device: UInt64
    var inode: UInt64
    /// Changes whenever the record is given to another file. 0: never used.
    var generation: UInt32
    /// Calls inside the engine that rely on this record. A record with pins is not recycled.
    var pins: UInt32
    var isFUSE: Bool
    /// Syncs of this file now in flight, by `fsync` and `fdatasync`.
    var syncsInFlight: InlineArray<2, UInt32>
    /// Which threads synced the file lately.
    var syncThreads: RecentThreads
    /// Data calls of a comparison now in flight.
    var callsInFlight: UInt32
    var comparisonLock: FutexLock
    var comparisons: InlineArray<18, Comparison>
    var groups: InlineArray<2, iotrap_group>

    /// Which comparison a call belongs to.
    enum ComparisonIndex {
        /// Large calls cut into pieces: 4 size classes, reads then writes.
        static func split(writes: Bool, bytes: UInt64) -> UInt32 {
            sizeClass(bytes) + (writes ? 4 : 0)
        }

        /// Vectored calls, a request an element.
        static func vectored(writes: Bool, bytes: UInt64) -> UInt32 {
            8 + sizeClass(bytes) + (writes ? 4 : 0)
        }

        static func sync(dataOnly: Bool) -> UInt32 { dataOnly ? 17 : 16 }

        /// Under 256 KiB, under 2 MiB, under 16 MiB, and the rest.
        static func sizeClass(_ bytes: UInt64) -> UInt32 {
            if bytes < 256 << 10 { return 0 }
            if bytes < 2 << 20 { return 1 }
            return bytes < 16 << 20 ? 2 : 3
        }
    }
}

/// Roughly how many threads do something lately: a bit for each, by thread number, over the last 32
/// to 64 times. Kept without a lock: a lost bit comes again.
struct RecentThreads {
    private var bits: UInt64
    private var bitsBefore: UInt64
    private var times: UInt32

    /// Notes one more time, by the given thread.
    ///
    /// - Returns: the number of threads, 1 when it has been this one alone.
    static func note(
        _ recent: UnsafeMutablePointer<RecentThreads>, threadID: Int32
    ) -> UInt32 {
        let bits = address(of: &recent.pointee.bits).atomic
        let before = address(of: &recent.pointee.bitsBefore).atomic
        let times = address(of: &recent.pointee.times).atomic
        let mine: UInt64 = 1 << UInt64(UInt32(bitPattern: threadID) % 64)
        let all = bits.pointee.load(ordering: .relaxed) | mine
        let count = times.pointee.load(ordering: .relaxed) &+ 1
        times.pointee.store(count, ordering: .relaxed)
        if count % 32 == 0 {
            before.pointee.store(all, ordering: .relaxed)
            bits.pointee.store(0, ordering: .relaxed)
        } else {
            bits.pointee.store(all, ordering: .relaxed)
        }
        return UInt32((all | before.pointee.load(ordering: .relaxed)).nonzeroBitCount)
    }
}

extension UnsafeMutablePointer where Pointee == FileRecord {
    var syncThreads: UnsafeMutablePointer<RecentThreads> { address(of: &pointee.syncThreads) }
    var pinsWord: UnsafeMutablePointer<UInt32> { address(of: &pointee.pins) }
    var callsInFlightWord: UnsafeMutablePointer<UInt32> { address(of: &pointee.callsInFlight) }

    func syncsInFlightWord(dataOnly: Bool) -> UnsafeMutablePointer<UInt32> {
        address(of: &pointee.syncsInFlight, element: dataOnly ? 1 : 0)
    }

    func comparison(_ index: UInt32) -> UnsafeMutablePointer<Comparison> {
        address(of: &pointee.comparisons, element: Int(index))
    }

    func group(dataOnly: Bool) -> UnsafeMutablePointer<iotrap_group> {
        address(of: &pointee.groups, element: dataOnly ? 1 : 0)
    }

    var lock: UnsafeMutablePointer<FutexLock> { address(of: &pointee.comparisonLock) }

    /// True when no call relies on the record or is counted in it.
    var isIdle: Bool {
        // acquiring: pairs with `unpin`
        pinsWord.atomic.pointee.load(ordering: .acquiring) == 0
            && callsInFlightWord.atomic.pointee.load(ordering: .relaxed) == 0
            && syncsInFlightWord(dataOnly: false).atomic.pointee.load(ordering: .relaxed) == 0
            && syncsInFlightWord(dataOnly: true).atomic.pointee.load(ordering: .relaxed) == 0
    }

    /// Ends a call's use of the record.
    func unpin() {
        // releasing: what the call did to the record happens before it is recycled
        pinsWord.atomic.pointee.wrappingSubtract(1, ordering: .releasing)
    }
}
