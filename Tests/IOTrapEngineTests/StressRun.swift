import CIOTrap
import CIOTrapEngine
import Glibc
import Synchronization

@testable import IOTrapEngine

/// A randomised run of the engine in a process of its own: where it works, what chance it has, and
/// what its threads found wrong. A run is repeated by giving its seed in IOTRAP_STRESS_SEED, and
/// made longer by IOTRAP_STRESS_ROUNDS.
final class StressRun: Sendable {
    let directory: String
    let seed: UInt64
    /// Steps of each thread.
    let steps: Int
    private let wrong = Atomic<Int>(0)

    /// Starts the engine with the given settings.
    ///
    /// - Parameter directory: empty, and on a file system that takes O_DIRECT.
    init(in directory: String, mode: String, settings: String) {
        self.directory = directory
        seed = Self.number("IOTRAP_STRESS_SEED") ?? UInt64(getpid()) &* 1_000_003
        steps = Int(Self.number("IOTRAP_STRESS_ROUNDS") ?? 400)
        // Before the engine works, so that what it or a sanitizer says is kept as well.
        let log = Glibc.open(directory + "/log", O_CREAT | O_WRONLY | O_APPEND, 0o600)
        dup2(log, 2)
        close(log)
        Self.say("seed \(seed), \(steps) rounds, mode \(mode), settings \(settings)")
        mkdir(directory + "/statistics", 0o700)
        let variables = [
            "IOTRAP_MODE=\(mode)", "IOTRAP_SET=\(settings)", "IOTRAP_LOG=\(directory)/log",
            "IOTRAP_STATS_DIR=\(directory)/statistics",
        ]
        let environment = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(
            capacity: variables.count + 1)
        for (index, variable) in variables.enumerated() { environment[index] = strdup(variable) }
        environment[variables.count] = nil
        iotrap_start(environment, 0)
        for index in variables.indices { free(environment[index]) }
        environment.deallocate()
        guard process.pointee.isActive else {
            Self.say("the engine did not start")
            exit(2)
        }
    }

    private static func number(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }

    /// Writes a line to the log.
    static func say(_ text: String) {
        let line = text + "\n"
        _ = line.withCString { write(2, $0, strlen($0)) }
    }

    /// Counts what is not as it must be; the first few are told of.
    func expect(
        _ isRight: Bool, _ what: @autoclosure () -> String, line: Int = #line
    ) {
        guard !isRight else { return }
        let number = wrong.wrappingAdd(1, ordering: .relaxed).newValue
        if number <= 20 { Self.say("WRONG line \(line): \(what())") }
    }

    /// A run that makes no use of what it is about proves nothing.
    func expectUse(_ interface: iotrap_async_interface, _ route: iotrap_async_route) {
        var count: UInt64 = 0
        for index in 0..<(process.pointee.segment.header?.pointee.block_count ?? 0) {
            guard let block = Segment.block(index) else { continue }
            let counts = iotrap_block_async(block, interface.rawValue)
            count += iotrap_async_route_count(counts, route.rawValue).pointee
        }
        Self.say("\(count) requests of interface \(interface.rawValue) by \(route.rawValue)")
        expect(count > 0, "no request of interface \(interface.rawValue) by \(route.rawValue)")
    }

    /// Checks what must hold when nothing is outstanding, and ends the process: 0, or 1 when
    /// anything was wrong.
    func end() -> Never {
        awaitIdle()
        // Events that nobody took are kept until the context's record is used again.
        for index in 0..<IOTRAP_CONTEXTS {
            let context = iotrap_context_entry(index)
            let users = ContextTable.usersWord(context).pointee.load(ordering: .acquiring)
            expect(users == 0, "\(users) are still in context \(index)")
            ContextEvents.discard(context)
        }
        let all = Int(RequestPool.count)
        var free = 0
        while free < all, RequestPool.take() != nil { free += 1 }
        expect(Int(RequestPool.count) == all, "only \(free) of \(all) requests came back")
        onThreads(1) { _ in iotrap_aio_drain() }
        iotrap_finish()
        let count = wrong.load(ordering: .relaxed)
        Self.say("\(count) wrong")
        exit(count == 0 ? 0 : 1)
    }

    /// Waits until the service thread has ended for want of work.
    func awaitIdle() {
        while Service.queue.pointee.load(ordering: .acquiring) != IOTRAP_QUEUE_CLOSED {
            usleep(10_000)
        }
    }

    /// Ends the service thread again and again while others give it work, if nothing is
    /// outstanding just then, so that it is made again as often.
    func retireServiceThread(until isOver: () -> Bool) {
        while !isOver() {
            _ = Service.ask(IOTRAP_MESSAGE_RETIRE)
            usleep(2_000)
        }
    }

    /// A generator for a thread, or a part of the run.
    func generator(_ number: Int) -> SplitMix {
        SplitMix(seed: seed &+ UInt64(number) &* 0x1_0000_0001)
    }

    /// Opens a file for the run, as the hook of open(2) tells the engine.
    func open(_ name: String, _ flags: Int32) -> Int32 {
        let path = directory + "/" + name
        let all = flags | O_RDWR | O_CREAT | O_CLOEXEC
        var fd = Glibc.open(path, all, 0o600)
        // Where the file system has no O_DIRECT, everything is buffered.
        if fd < 0 && errno == EINVAL { fd = Glibc.open(path, all & ~StressContent.direct, 0o600) }
        guard fd >= 0 else {
            Self.say("\(name) cannot be opened: \(errno)")
            exit(2)
        }
        iotrap_descriptor_opened(fd, UInt32(fcntl(fd, F_GETFL)))
        return fd
    }
}

/// What a page of memory or of a file must hold.
enum StressContent {
    static let pageBytes = 4096
    /// O_DIRECT, which Swift does not know.
    static let direct: Int32 = 0o40000

    static func makePage() -> UnsafeMutableRawPointer {
        // Not from the engine: the sanitizer is to know where it ends.
        let page = UnsafeMutableRawPointer.allocate(byteCount: pageBytes, alignment: pageBytes)
        memset(page, 0, pageBytes)
        return page
    }

    static func fill(_ page: UnsafeMutableRawPointer, _ content: UInt64) {
        let words = page.assumingMemoryBound(to: UInt64.self)
        for index in 0..<(pageBytes / 8) { words[index] = word(content, index) }
    }

    static func matches(_ page: UnsafeMutableRawPointer, _ content: UInt64) -> Bool {
        let words = page.assumingMemoryBound(to: UInt64.self)
        for index in 0..<(pageBytes / 8) where words[index] != word(content, index) {
            return false
        }
        return true
    }

    private static func word(_ content: UInt64, _ index: Int) -> UInt64 {
        (content &+ UInt64(index)) &* 0x9e37_79b9_7f4a_7c15
    }
}

/// A lock of the C library that several may hold to use something, and one to replace it.
final class StressLock: @unchecked Sendable {
    private let lock = UnsafeMutablePointer<pthread_rwlock_t>.allocate(capacity: 1)

    init() {
        var kind = pthread_rwlockattr_t()
        pthread_rwlockattr_init(&kind)
        // Who wants to replace it comes before those who want to use it.
        pthread_rwlockattr_setkind_np(
            &kind, Int32(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP))
        pthread_rwlock_init(lock, &kind)
    }

    deinit {
        pthread_rwlock_destroy(lock)
        lock.deallocate()
    }

    func shared<Result>(_ body: () -> Result) -> Result {
        pthread_rwlock_rdlock(lock)
        defer { pthread_rwlock_unlock(lock) }
        return body()
    }

    func alone<Result>(_ body: () -> Result) -> Result {
        pthread_rwlock_wrlock(lock)
        defer { pthread_rwlock_unlock(lock) }
        return body()
    }
}
