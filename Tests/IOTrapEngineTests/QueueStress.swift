import CIOTrap
import Foundation
import Glibc
import Synchronization
import Testing

@testable import IOTrapEngine

/// A queue, and operations on it by one thread; each call that fails is an issue of the test.
struct QueueUser {
    let queue: OpaquePointer
    private var completions = [iotrap_completion](repeating: iotrap_completion(), count: 64)

    init?(_ flags: UInt32, depth: UInt32, files: UInt32 = 0) {
        var options = iotrap_queue_options()
        options.struct_size = UInt32(MemoryLayout<iotrap_queue_options>.size)
        options.flags = flags
        options.depth = depth
        options.file_slots = files
        var made: OpaquePointer?
        let result = iotrap_queue_open(&options, &made)
        guard result == 0, let made else { return nil }
        queue = made
    }

    /// Why the last call failed.
    var error: String {
        var text = [CChar](repeating: 0, count: 512)
        let count = iotrap_queue_error(queue, &text, text.count)
        return String(decoding: text[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    func add(_ io: iotrap_io, at location: SourceLocation = #_sourceLocation) {
        var io = io
        let result = iotrap_queue_add(queue, &io)
        #expect(result == 0, "\(error)", sourceLocation: location)
    }

    mutating func wait(
        _ minimum: UInt32, timeout: UInt64 = UInt64.max,
        at location: SourceLocation = #_sourceLocation
    ) -> [iotrap_completion] {
        let count = iotrap_queue_wait(queue, &completions, minimum, 64, timeout)
        #expect(count >= 0 || count == -EINTR, "\(count)", sourceLocation: location)
        return Array(completions[..<Int(max(0, count))])
    }

    func close(at location: SourceLocation = #_sourceLocation) {
        #expect(iotrap_queue_close(queue) == 0, sourceLocation: location)
    }
}

/// Threads that each have a queue of their own, on pages of their own of one file.
///
/// Of every page its thread knows what it holds: what was written last, or, when a write was
/// called back, one of two things.
final class QueueStress: Sendable {
    static let threads = 4
    static let pagesPerThread = 24

    /// A handle is an address and a number; pointers are nothing to share.
    private let fileBits: UInt
    var file: OpaquePointer { OpaquePointer(bitPattern: fileBits)! }
    let flags: UInt32
    let seed: UInt64
    let steps: Int
    private let queues = Mutex<[UInt]>([])
    private let isOver = Atomic<Bool>(false)

    init(_ path: String, _ flags: UInt32) throws {
        var made: OpaquePointer?
        let result = iotrap_file_open(path, O_RDWR | O_CREAT | 0o40000, 0o600, nil, &made)
        try #require(result == 0, "\(path): \(result)")
        fileBits = UInt(bitPattern: made)
        self.flags = flags
        let variables = ProcessInfo.processInfo.environment
        seed = variables["IOTRAP_STRESS_SEED"].flatMap { UInt64($0) } ?? UInt64(getpid()) &* 7919
        steps = variables["IOTRAP_STRESS_ROUNDS"].flatMap { Int($0) } ?? 1500
        print("queue stress: seed \(seed), \(steps) rounds")
    }

    func perform() {
        let group = DispatchGroup()
        for number in 0..<Self.threads {
            onThread(group) {
                guard let worker = QueueWorker(self, number) else {
                    Issue.record("no queue")
                    return
                }
                let bits = UInt(bitPattern: worker.queue)
                self.queues.withLock { $0.append(bits) }
                for _ in 0..<self.steps { worker.step() }
                worker.finish {
                    // Nobody may wake a queue that is being closed.
                    self.queues.withLock { all in all.removeAll { $0 == bits } }
                }
            }
        }
        let waker = DispatchGroup()
        onThread(waker) {
            while !self.isOver.load(ordering: .relaxed) {
                self.queues.withLock {
                    for queue in $0 { _ = iotrap_queue_wake(OpaquePointer(bitPattern: queue)) }
                }
                usleep(200)
            }
        }
        group.wait()
        isOver.store(true, ordering: .relaxed)
        waker.wait()
        #expect(iotrap_file_close(file) == 0)
    }

    private func onThread(_ group: DispatchGroup, _ body: @escaping @Sendable () -> Void) {
        group.enter()
        let thread = Thread {
            body()
            group.leave()
        }
        thread.start()
    }
}

/// One thread of the stress.
private final class QueueWorker {
    private struct Page {
        var memory = StressContent.makePage()
        var content: UInt64?
        /// What it holds if the write under way came to pass.
        var next: UInt64?
        var isBusy = false
        var reads = false
    }

    var queue: OpaquePointer { user.queue }
    private var user: QueueUser
    private let stress: QueueStress
    private var generator: SplitMix
    private var pages: [Page]
    private let first: Int
    private var written: UInt64
    /// Syncs are no page's: their user data begin here.
    private let syncs: UInt64 = 1 << 32

    init?(_ stress: QueueStress, _ number: Int) {
        guard let user = QueueUser(stress.flags, depth: 64) else { return nil }
        self.user = user
        self.stress = stress
        generator = SplitMix(seed: stress.seed &+ UInt64(number) &* 0x1_0000_0001)
        pages = (0..<QueueStress.pagesPerThread).map { _ in Page() }
        first = number * QueueStress.pagesPerThread
        written = UInt64(number) << 32
    }

    deinit { for page in pages { page.memory.deallocate() } }

    private func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }

    func step() {
        switch below(10) {
        case 0: _ = iotrap_queue_cancel(queue, UInt64(below(pages.count)))
        case 1: _ = iotrap_queue_submit(queue)
        case 2..<5: take(1)
        case 5: take(0)
        default: start()
        }
    }

    private func start() {
        let index = below(pages.count)
        guard !pages[index].isBusy, iotrap_queue_room(queue) >= 2 else { return take(1) }
        var io = iotrap_io()
        io.file = stress.file
        io.buffer = pages[index].memory
        io.length = UInt64(StressContent.pageBytes)
        io.offset = Int64((first + index) * StressContent.pageBytes)
        io.user_data = UInt64(index)
        if below(8) == 0 { io.deadline_ns = iotrap_now() + UInt64(below(300_000)) }
        if below(4) == 0 { io.flags |= IOTRAP_IO_WHOLE }
        pages[index].isBusy = true
        pages[index].reads = pages[index].content != nil && below(2) == 0
        guard !pages[index].reads else {
            io.kind = UInt16(IOTRAP_IO_READ.rawValue)
            return user.add(io)
        }
        written += 1
        pages[index].next = written
        StressContent.fill(pages[index].memory, written)
        io.kind = UInt16(IOTRAP_IO_WRITE.rawValue)
        guard below(4) == 0 else { return user.add(io) }
        io.flags |= IOTRAP_IO_LINK
        user.add(io)
        var sync = iotrap_io()
        sync.kind = UInt16(IOTRAP_IO_FDATASYNC.rawValue)
        sync.file = stress.file
        sync.user_data = syncs
        user.add(sync)
    }

    private func take(_ minimum: UInt32) {
        let limit: UInt64 = minimum == 0 ? 0 : 5_000_000
        for completion in user.wait(minimum, timeout: limit) { end(completion) }
    }

    private func end(_ completion: iotrap_completion) {
        let isCalledBack = completion.result == -125 || completion.result == -62
        guard completion.user_data < syncs else {
            #expect(completion.result == 0 || isCalledBack, "sync: \(completion.result)")
            return
        }
        let index = Int(completion.user_data)
        let isWhole = completion.result == StressContent.pageBytes
        #expect(isWhole || isCalledBack, "page \(index): \(completion.result)")
        pages[index].isBusy = false
        if pages[index].reads {
            if isWhole, let content = pages[index].content {
                #expect(StressContent.matches(pages[index].memory, content), "page \(index)")
            }
        } else {
            // One that was called back may have come to pass or not.
            pages[index].content = isWhole ? pages[index].next : nil
        }
    }

    func finish(_ beforeClosing: () -> Void) {
        for _ in 0..<pages.count * 4 where pages.contains(where: \.isBusy) { take(1) }
        beforeClosing()
        user.close()
    }
}
