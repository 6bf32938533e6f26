import CIOTrapEngine
import Glibc
import Synchronization

@testable import IOTrapEngine

/// One request and what it must bring. Whoever changes `holder` hands over the rest.
final class LibaioSlot: @unchecked Sendable {
    enum Kind { case read, write, sync, poll }

    let number: Int
    let memory = StressContent.makePage()
    /// 0: free; else the number of the context that it was submitted to.
    let holder = Atomic<UInt64>(0)
    var kind = Kind.read
    var file = 0
    var page = 0
    var content: UInt64 = 0
    /// Address of the iocb.
    var object: UInt64 = 0

    init(_ number: Int) { self.number = number }

    deinit { memory.deallocate() }

    var isFree: Bool { holder.load(ordering: .acquiring) == 0 }
}

/// What a request is told to the library with. It is the program's again as soon as io_submit is
/// back, and is freed then.
struct LibaioRequest {
    let iocb = UnsafeMutablePointer<iotrap_iocb>.allocate(capacity: 1)
    let vector = UnsafeMutablePointer<iovec>.allocate(capacity: 2)

    init(_ slot: LibaioSlot) {
        iocb.initialize(to: iotrap_iocb())
        iocb.pointee.data = UInt64(slot.number)
        slot.object = object
    }

    var object: UInt64 { UInt64(UInt(bitPattern: iocb)) }

    func free() {
        iocb.deallocate()
        vector.deallocate()
    }
}

/// A context that threads use at once while others end it and put another in its place.
final class LibaioContext: @unchecked Sendable {
    let lock = StressLock()
    var handle: UInt64 = 0
    /// Never that of another context; 0: there is none.
    var number: UInt64 = 0
    /// Requests of this one tell an eventfd.
    var tells = false
    /// Threads in io_getevents or looking at what it gave them.
    let inside = Atomic<Int>(0)
    /// Number of the last context that was ended here.
    let ended = Atomic<UInt64>(0)
}

/// Threads that submit, wait, cancel and destroy at random. Each worker owns a stripe of both files
/// and knows what every page of it must hold, but any thread may take the event of any request.
final class LibaioStress: @unchecked Sendable {
    static let workers = 4
    static let waiters = 2
    static let shifts = 3
    static let slotsPerWorker = 24
    static let sharedContexts = 3
    static let pages = 64
    static let files = 2

    let run: StressRun
    let slots: [LibaioSlot]
    /// The first ones are everybody's; then one of each worker's own, where others rarely come.
    let contexts: [LibaioContext]
    private(set) var descriptors: [Int32] = []
    private(set) var emptyPipe: Int32 = -1
    private(set) var event: Int32 = -1
    /// Requests that must have told the eventfd.
    let told = Atomic<UInt64>(0)
    let isOver = Atomic<Bool>(false)
    private let numbers = Atomic<UInt64>(0)
    /// Held from the end of a context until nobody can use its handle any more: the kernel may give
    /// it to the next at once.
    private let ending = StressLock()

    init(_ run: StressRun) {
        self.run = run
        slots = (0..<(Self.workers * Self.slotsPerWorker)).map { LibaioSlot($0) }
        contexts = (0..<(Self.sharedContexts + Self.workers)).map { _ in LibaioContext() }
    }

    /// - Parameter retires: whether the service thread is ended now and then.
    func perform(retires: Bool) {
        onThreads(1) { _ in self.prepare() }
        onThreads(1 + Self.waiters + (retires ? 1 : 0)) { index in
            if index == 0 {
                self.performShifts()
                self.finish()
            } else if index <= Self.waiters {
                self.keepWaiting(index)
            } else {
                self.run.retireServiceThread { self.isOver.load(ordering: .acquiring) }
            }
        }
    }

    private func prepare() {
        descriptors = [run.open("direct", StressContent.direct), run.open("buffered", 0)]
        var ends: [Int32] = [0, 0]
        pipe(&ends)
        emptyPipe = ends[0]
        event = iotrap_eventfd()
        _ = fcntl(event, F_SETFL, O_NONBLOCK)
        let page = StressContent.makePage()
        defer { page.deallocate() }
        for file in 0..<Self.files {
            for at in 0..<(Self.workers * Self.pages) {
                StressContent.fill(page, Self.content(file, at, generation: 0))
                let written = pwrite(
                    descriptors[file], page, StressContent.pageBytes,
                    off_t(at * StressContent.pageBytes))
                run.expect(written == StressContent.pageBytes, "pwrite \(written)")
            }
        }
        var generator = run.generator(1000)
        for context in contexts { make(context, &generator) }
    }

    static func content(_ file: Int, _ page: Int, generation: Int) -> UInt64 {
        (UInt64(generation) * UInt64(files) + UInt64(file)) << 20 | UInt64(page)
    }

    /// Threads leave with requests under way, and others take their places.
    private func performShifts() {
        let workers = (0..<Self.workers).map { LibaioWorker(self, $0) }
        for _ in 0..<Self.shifts {
            onThreads(Self.workers) { index in
                for _ in 0..<(self.run.steps / Self.shifts) { workers[index].step() }
            }
        }
        drain()
        let page = StressContent.makePage()
        defer { page.deallocate() }
        for worker in workers { worker.checkFiles(page) }
    }

    /// Takes all events that are still to come.
    private func drain() {
        var idle = 0
        while slots.contains(where: { !$0.isFree }), idle < 3000 {
            for context in contexts {
                if take(context, minimum: 1, milliseconds: 10) > 0 { idle = 0 } else { idle += 1 }
            }
        }
        let lost = slots.filter { !$0.isFree }.count
        run.expect(lost == 0, "\(lost) requests never ended")
    }

    private func finish() {
        isOver.store(true, ordering: .releasing)
        for context in contexts { end(context) }
        var count: UInt64 = 0
        if read(event, &count, 8) != 8 { count = 0 }
        let expected = told.load(ordering: .acquiring)
        run.expect(count == expected, "the eventfd was told \(count) times, not \(expected)")
    }

    // MARK: - Contexts

    private func make(_ context: LibaioContext, _ generator: inout SplitMix) {
        let isSmall = Int.random(in: 0..<4, using: &generator) == 0
        context.tells = Int.random(in: 0..<4, using: &generator) == 0
        context.handle = 0
        let result = iotrap_io_setup(isSmall ? 4 : UInt32(slots.count), &context.handle)
        run.expect(result == 0 && context.handle != 0, "io_setup: \(result)")
        context.number = numbers.wrappingAdd(1, ordering: .relaxed).newValue
    }

    /// Ends a context with requests under way and threads waiting, and makes another.
    func replace(_ context: LibaioContext, _ generator: inout SplitMix) {
        end(context) { self.make(context, &generator) }
    }

    private func end(_ context: LibaioContext, then: () -> Void = {}) {
        ending.alone {
            context.lock.alone {
                context.ended.store(context.number, ordering: .releasing)
                let result = iotrap_io_destroy(context.handle)
                run.expect(result == 0, "io_destroy: \(result)")
                let again = iotrap_io_destroy(context.handle)
                run.expect(again == -22 || again == Int64.min, "io_destroy again: \(again)")
                while context.inside.load(ordering: .acquiring) > 0 { usleep(100) }
                // All are over, and nobody has seen these.
                for slot in slots where slot.holder.load(ordering: .acquiring) == context.number {
                    checkMemory(slot)
                    slot.holder.store(0, ordering: .releasing)
                }
                context.number = 0
                context.handle = 0
                then()
            }
        }
    }

    // MARK: - Events

    /// A thread that has nothing to do but wait for events of the contexts that all share, often
    /// without a limit: only an event or the context's end wakes it.
    private func keepWaiting(_ index: Int) {
        var generator = run.generator(100 + index)
        while !isOver.load(ordering: .acquiring) {
            let context = contexts[Int.random(in: 0..<Self.sharedContexts, using: &generator)]
            if Bool.random(using: &generator) {
                // More than one it would keep to itself until there are enough.
                take(context, minimum: 1, milliseconds: nil)
            } else {
                take(
                    context, minimum: Int64.random(in: 0...4, using: &generator),
                    milliseconds: Int.random(in: 0...10, using: &generator))
            }
        }
    }

    /// One call of io_getevents, and what it gives.
    @discardableResult
    func take(_ context: LibaioContext, minimum: Int64, milliseconds: Int?) -> Int64 {
        let (handle, number) = context.lock.shared {
            context.inside.wrappingAdd(1, ordering: .acquiringAndReleasing)
            return (context.handle, context.number)
        }
        defer { context.inside.wrappingSubtract(1, ordering: .acquiringAndReleasing) }
        guard number != 0 else { return 0 }
        let room = 16
        return withUnsafeTemporaryAllocation(of: iotrap_event.self, capacity: room) { events in
            var time = timespec(tv_sec: 0, tv_nsec: (milliseconds ?? 0) * 1_000_000)
            let result = withUnsafePointer(to: &time) {
                iotrap_io_getevents(
                    handle, minimum, Int64(room), events.baseAddress,
                    milliseconds == nil ? nil : UnsafeRawPointer($0), nil, 1)
            }
            let isEnded = context.ended.load(ordering: .acquiring) == number
            run.expect(
                result >= 0 && result <= Int64(room) || result == -22 && isEnded,
                "io_getevents: \(result)")
            for index in 0..<Int(max(0, min(result, Int64(room)))) {
                take(events[index], number)
            }
            return result
        }
    }

    private func take(_ event: iotrap_event, _ number: UInt64) {
        guard event.data < UInt64(slots.count) else {
            return run.expect(false, "an event of nobody's: \(event)")
        }
        let slot = slots[Int(event.data)]
        let holder = slot.holder.load(ordering: .acquiring)
        guard holder == number, event.object == slot.object, event.result2 == 0 else {
            return run.expect(false, "\(event) in context \(number), not \(holder)")
        }
        switch slot.kind {
        case .read, .write:
            run.expect(event.result == StressContent.pageBytes, "\(slot.kind): \(event.result)")
            checkMemory(slot)
        case .sync, .poll: run.expect(event.result == 0, "\(slot.kind): \(event.result)")
        }
        slot.holder.store(0, ordering: .releasing)
    }

    private func checkMemory(_ slot: LibaioSlot) {
        guard slot.kind == .read || slot.kind == .write else { return }
        run.expect(
            StressContent.matches(slot.memory, slot.content),
            "\(slot.kind) of page \(slot.page) of file \(slot.file): wrong content")
    }
}
