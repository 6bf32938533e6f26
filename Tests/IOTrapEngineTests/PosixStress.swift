import CIOTrap
import CIOTrapEngine
import Glibc
import Synchronization

@testable import IOTrapEngine

/// One aiocb, the page of a file it is about, and what is known of that page. Who holds the slot
/// has all of it; the state hands it over.
final class PosixSlot: @unchecked Sendable {
    enum State {
        static let free: UInt32 = 0
        static let inFlight: UInt32 = 1
        static let held: UInt32 = 2
    }

    /// Freed as soon as the request has ended: the library must not touch it any more.
    private(set) var block: UnsafeMutablePointer<iotrap_aiocb>!
    let memory = StressContent.makePage()
    let state = Atomic<UInt32>(State.free)
    let page: Int
    var descriptor: Int32 = -1
    var writes = false
    /// What a write puts there.
    var content: UInt64 = 0
    /// What the page holds; nil: anything.
    var known: UInt64?

    init(_ page: Int) { self.page = page }

    deinit { memory.deallocate() }

    func makeBlock() {
        block = .allocate(capacity: 1)
        block.initialize(to: iotrap_aiocb())
        block.pointee.address = memory
    }

    func freeBlock() {
        memset(block, 0xa5, MemoryLayout<iotrap_aiocb>.size)
        block.deallocate()
        block = nil
    }

    /// Makes the caller the holder if the slot is in the given state.
    func hold(_ from: UInt32) -> Bool {
        state.compareExchange(
            expected: from, desired: State.held, ordering: .acquiringAndReleasing
        ).exchanged
    }

    func leave(_ as: UInt32) { state.store(`as`, ordering: .releasing) }
}

/// The functions of POSIX AIO as the hooks build them of the engine's.
enum Posix {
    typealias Block = UnsafeMutablePointer<iotrap_aiocb>
    static let inProgress: UInt32 = 115
    static let cancelled: UInt32 = 125

    static func error(_ block: Block) -> UInt32 {
        // The sanitizer does not see what the C function does.
        _ = iotrap_posix_error(block)
        return block.errorWord.pointee.load(ordering: .acquiring)
    }

    /// aio_suspend: true when one of the requests has ended, false when the time is over.
    static func suspend(_ blocks: [Block], nanoseconds: UInt64?) -> Bool {
        guard iotrap_suspend_begin() != 0 else { return false }
        let list = blocks.map { UnsafePointer<iotrap_aiocb>($0) as UnsafePointer? }
        let count = Int32(list.count)
        let deadline = nanoseconds.map { iotrap_clock() + $0 }
        var way = iotrap_suspend_ready(list, count)
        var isOver = false
        while way != IOTRAP_SUSPEND_READY && !isOver {
            let now = iotrap_clock()
            isOver = deadline.map { now >= $0 } ?? false
            let seen = iotrap_suspend_join(way)
            let again = iotrap_suspend_ready(list, count)
            if again == way && !isOver { wait(way, seen, deadline.map { $0 - now }) }
            iotrap_suspend_leave(way)
            way = again == way ? iotrap_suspend_ready(list, count) : again
        }
        let hasEnded = way == IOTRAP_SUSPEND_READY
        iotrap_suspend_end(hasEnded ? 0 : 1, 1)
        return hasEnded
    }

    /// One wait of aio_suspend.
    private static func wait(_ way: Int32, _ seen: UInt32, _ left: UInt64?) {
        let word = iotrap_service_finished(iotrap_service())
        var limit = left ?? UInt64.max
        switch way {
        case IOTRAP_SUSPEND_IN_RING: _ = iotrap_suspend_in_ring(limit)
        case IOTRAP_SUSPEND_WATCHFUL:
            _ = iotrap_futex_wait_for(word, seen, min(limit, 1_000_000))
        case _ where left == nil: _ = iotrap_futex_wait_signals(word, seen, nil)
        default: _ = iotrap_futex_wait_signals(word, seen, &limit)
        }
    }

    static func wait(_ block: Block) {
        while error(block) == inProgress { _ = suspend([block], nanoseconds: nil) }
    }

    /// close(2), as its hook does it.
    static func close(_ fd: Int32) {
        iotrap_aio_closing(UInt32(fd), UInt32(fd))
        iotrap_descriptor_forget(fd)
        Glibc.close(fd)
    }
}

/// Threads that read, write, append, wait, cancel and close by POSIX AIO at random. The requests of
/// a worker may be waited for and looked at by any other.
final class PosixStress: @unchecked Sendable {
    static let workers = 4
    static let shifts = 3
    static let slotsPerWorker = 24

    let run: StressRun
    let slots: [PosixSlot]
    private(set) var shared: Int32 = -1
    let isOver = Atomic<Bool>(false)

    init(_ run: StressRun) {
        self.run = run
        slots = (0..<(Self.workers * Self.slotsPerWorker)).map { PosixSlot($0) }
    }

    /// - Parameter retires: whether the service thread is ended now and then.
    func perform(retires: Bool) {
        // Signals queue up, but nobody must be disturbed by them.
        signal(SIGUSR1, SIG_IGN)
        shared = run.open("shared", StressContent.direct)
        ftruncate(shared, off_t(slots.count * StressContent.pageBytes))
        let workers = (0..<Self.workers).map { PosixWorker(self, $0) }
        onThreads(retires ? 2 : 1) { index in
            guard index == 0 else {
                return self.run.retireServiceThread { self.isOver.load(ordering: .acquiring) }
            }
            for _ in 0..<Self.shifts {
                onThreads(Self.workers) { index in
                    for _ in 0..<(self.run.steps / Self.shifts) { workers[index].step() }
                }
            }
            onThreads(Self.workers) { index in workers[index].end() }
            onThreads(1) { _ in iotrap_aio_drain() }
            self.isOver.store(true, ordering: .releasing)
        }
        awaitNotifications()
    }

    /// Every request that asked for a thread gets one, however it ended.
    private func awaitNotifications() {
        let expected = PosixNotifications.wanted.load(ordering: .acquiring)
        var rounds = 0
        while PosixNotifications.count.load(ordering: .acquiring) < expected, rounds < 6000 {
            usleep(10_000)
            rounds += 1
        }
        let count = PosixNotifications.count.load(ordering: .acquiring)
        run.expect(count == expected, "\(count) notifications, not \(expected)")
    }
}

/// Threads that notifications must start, and those that they did.
enum PosixNotifications {
    static let wanted = Atomic<Int>(0)
    static let count = Atomic<Int>(0)

    /// Address of the function that they run.
    static var function: UInt64 {
        let body: @convention(c) (sigval) -> Void = { _ in
            PosixNotifications.count.wrappingAdd(1, ordering: .acquiringAndReleasing)
        }
        return UInt64(UInt(bitPattern: unsafeBitCast(body, to: UnsafeRawPointer.self)))
    }
}
