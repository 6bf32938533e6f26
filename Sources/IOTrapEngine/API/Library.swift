import CIOTrap
import CIOTrapEngine
import Synchronization

// Records behind the handles of iotrap_queue.h, and what holds for all of them.

/// Error numbers of the C interface, negative as it returns them.
enum LibraryError {
    static let permission: Int32 = -1
    static let interrupted: Int32 = -4
    static let badHandle: Int32 = -9
    static let again: Int32 = -11
    static let noMemory: Int32 = -12
    static let badAddress: Int32 = -14
    static let busy: Int32 = -16
    static let noDevice: Int32 = -19
    static let invalid: Int32 = -22
    static let noSpace: Int32 = -28
    static let deadlock: Int32 = -35
    static let tooBig: Int32 = -7
    static let noData: Int32 = -61
    static let timeout: Int32 = -62
    static let notSupported: Int32 = -95
    static let inProgress: Int32 = -115
    static let cancelled: Int32 = -125
}

/// Makes and finds records. A record is a kilobyte that is never unmapped; what a handle names is
/// told by the record's word, which changes whenever the record is given back.
enum Library {
    typealias Record = UnsafeMutablePointer<iotrap_record>
    typealias Shared = UnsafeMutablePointer<iotrap_library>

    private static var statics: UnsafeMutablePointer<iotrap_library_statics> {
        iotrap_library_statics()
    }

    /// The part that a forked child finds empty; nil when memory is refused.
    private static func shared() -> Shared? {
        let word = UnsafeMutableRawPointer(iotrap_library_statics_library(statics))
            .assumingMemoryBound(to: UInt64.self).atomic
        // acquiring: pairs with the exchange below
        let known = word.pointee.load(ordering: .acquiring)
        if known != 0 { return UnsafeMutablePointer(bitPattern: UInt(known)) }
        guard let page = iotrap_wipe_on_fork_page() else { return nil }
        let (made, seen) = word.pointee.compareExchange(
            expected: 0, desired: UInt64(UInt(bitPattern: page)),
            ordering: .acquiringAndReleasing)
        if !made { iotrap_pages_free(page, 4096) }
        return UnsafeMutablePointer(bitPattern: made ? UInt(bitPattern: page) : UInt(seen))
    }

    /// The number of this process among those that used the library one after the other by fork.
    static func currentProcess() -> UInt32 {
        guard let shared = shared() else { return 0 }
        return currentProcess(shared)
    }

    private static func currentProcess(_ shared: Shared) -> UInt32 {
        let word = iotrap_library_process(shared).atomic
        let known = word.pointee.load(ordering: .relaxed)
        if known != 0 { return known }
        let fresh =
            iotrap_library_statics_processes(statics).atomic.pointee.wrappingAdd(
                1, ordering: .relaxed
            ).newValue
        let (made, seen) = word.pointee.compareExchange(
            expected: 0, desired: fresh, ordering: .relaxed)
        return made ? fresh : seen
    }

    /// A number for each queue, by which files count them apart.
    static func nextQueueNumber() -> UInt32 {
        iotrap_library_statics_queue_number(statics).atomic.pointee.wrappingAdd(
            1, ordering: .relaxed
        ).oldValue
    }

    // MARK: - Records

    /// Takes a record, zeroed but for its word; nil when memory is refused.
    static func take() -> Record? {
        guard let shared = shared() else { return nil }
        let process = currentProcess(shared)
        let lock = lock(shared)
        FutexLock.acquire(lock)
        let record = takeLocked(shared)
        FutexLock.release(lock)
        guard let record else { return nil }
        let rest = UnsafeMutableRawPointer(record) + MemoryLayout<iotrap_record>.stride
        rest.initializeMemory(
            as: UInt8.self, repeating: 0,
            count: Int(IOTRAP_HANDLE_BYTES) - MemoryLayout<iotrap_record>.stride)
        record.pointee.process = process
        record.pointee.next = nil
        return record
    }

    private static func lock(_ shared: Shared) -> UnsafeMutablePointer<FutexLock> {
        UnsafeMutableRawPointer(iotrap_library_lock(shared))
            .assumingMemoryBound(to: FutexLock.self)
    }

    private static func takeLocked(_ shared: Shared) -> Record? {
        // Used again as late as possible: a handle of before is then noticed for longer.
        if shared.pointee.free_count > IOTRAP_CHUNK_RECORDS, let first = shared.pointee.free_first {
            shared.pointee.free_first = first.pointee.next
            shared.pointee.free_count -= 1
            if shared.pointee.free_first == nil { shared.pointee.free_last = nil }
            return first
        }
        if shared.pointee.fresh_count == 0 {
            let bytes = Int(IOTRAP_CHUNK_RECORDS * IOTRAP_HANDLE_BYTES)
            guard let pages = iotrap_pages(bytes, 0) else { return nil }
            shared.pointee.fresh = pages.assumingMemoryBound(to: iotrap_record.self)
            shared.pointee.fresh_count = IOTRAP_CHUNK_RECORDS
        }
        guard let fresh = shared.pointee.fresh else { return nil }
        shared.pointee.fresh_count -= 1
        shared.pointee.fresh =
            (UnsafeMutableRawPointer(fresh) + Int(IOTRAP_HANDLE_BYTES))
            .assumingMemoryBound(to: iotrap_record.self)
        fresh.pointee.word = 1
        return fresh
    }

    /// Gives a record back. Its handle names nothing from now on.
    static func give(_ record: Record) {
        store(record, IOTRAP_HANDLE_FREE, following(record.pointee.word & 0xffff))
        guard let shared = shared() else { return }
        let lock = lock(shared)
        FutexLock.acquire(lock)
        record.pointee.next = nil
        if let last = shared.pointee.free_last {
            last.pointee.next = record
        } else {
            shared.pointee.free_first = record
        }
        shared.pointee.free_last = record
        shared.pointee.free_count += 1
        FutexLock.release(lock)
    }

    /// Makes a record what its handle is to name; the handle.
    static func publish(_ record: Record, _ kind: iotrap_handle_kind) -> OpaquePointer {
        let generation = record.pointee.word & 0xffff
        store(record, kind, generation)
        return OpaquePointer(bitPattern: UInt(bitPattern: record) | UInt(generation))!
    }

    private static func store(_ record: Record, _ kind: iotrap_handle_kind, _ generation: UInt32) {
        // releasing: who finds it by its handle sees what was filled in before
        iotrap_record_word(record).atomic.pointee.store(
            kind.rawValue << 16 | generation, ordering: .releasing)
    }

    /// The record that a handle names; nil when that is not a record of this kind any more.
    @inline(__always)
    static func find(_ handle: OpaquePointer?, _ kind: iotrap_handle_kind) -> Record? {
        let bits = UInt(bitPattern: handle)
        let generation = UInt32(bits & UInt(IOTRAP_HANDLE_GENERATIONS - 1))
        let base = bits & ~UInt(IOTRAP_HANDLE_GENERATIONS - 1)
        guard generation != 0,
            let record = Record(bitPattern: base),
            // acquiring: pairs with `store`
            iotrap_record_word(record).atomic.pointee.load(ordering: .acquiring)
                == kind.rawValue << 16 | generation
        else { return nil }
        return record
    }

    /// The record that a handle named until it was given back, if nothing else is there yet.
    static func findFormer(_ handle: OpaquePointer?) -> Record? {
        let bits = UInt(bitPattern: handle)
        let generation = UInt32(bits & UInt(IOTRAP_HANDLE_GENERATIONS - 1))
        guard generation != 0,
            let record = Record(bitPattern: bits & ~UInt(IOTRAP_HANDLE_GENERATIONS - 1)),
            iotrap_record_word(record).atomic.pointee.load(ordering: .acquiring)
                == IOTRAP_HANDLE_FREE.rawValue << 16 | following(generation)
        else { return nil }
        return record
    }

    private static func following(_ generation: UInt32) -> UInt32 {
        generation % (IOTRAP_HANDLE_GENERATIONS - 1) + 1
    }

    /// The handle of a record in use.
    static func handle(_ record: Record) -> OpaquePointer {
        let generation = record.pointee.word & 0xffff
        return OpaquePointer(bitPattern: UInt(bitPattern: record) | UInt(generation))!
    }

    // MARK: - Misuse

    /// True while misuse ends the process.
    static var isStrict: Bool {
        iotrap_library_statics_strict(statics).atomic.pointee.load(ordering: .relaxed) != 0
    }

    static func setStrict(_ isOn: Bool) {
        iotrap_library_statics_strict(statics).atomic.pointee.store(
            isOn ? 1 : 0, ordering: .relaxed)
    }

    /// A call that no correct program makes.
    ///
    /// - Returns: `code`, if the process goes on.
    @inline(never)
    static func misuse(_ text: StaticString, _ code: Int32) -> Int32 {
        if isStrict {
            text.utf8Start.withMemoryRebound(to: CChar.self, capacity: text.utf8CodeUnitCount) {
                iotrap_misuse_abort($0)
            }
        }
        return code
    }

    // MARK: - The engine

    /// Starts the engine where nothing else has and the environment asks for mount pools.
    static func startEngine() {
        let started = iotrap_library_statics_started(statics).atomic
        // acquiring: pairs with the store below
        if started.pointee.load(ordering: .acquiring) != 0 { return }
        let lock = UnsafeMutableRawPointer(iotrap_library_statics_start_lock(statics))
            .assumingMemoryBound(to: FutexLock.self)
        FutexLock.acquire(lock)
        if started.pointee.load(ordering: .relaxed) == 0 {
            if process.pointee.generation == 0 { iotrap_library_start_engine(0) }
            started.pointee.store(1, ordering: .releasing)
        }
        FutexLock.release(lock)
    }
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_now() -> UInt64 { iotrap_clock() }

/// See iotrap_queue.h.
@c @implementation
public func iotrap_set_strict(_ on: Int32) { Library.setStrict(on != 0) }
