import CIOTrap
import Glibc
import Synchronization

/// A thread with a queue: runs jobs, submits what they ask for, and sleeps in the kernel.
///
/// One round takes what other threads sent, runs the jobs there are, makes one system call that
/// submits everything they prepared, and resumes the tasks whose operations ended. All state
/// but the inbox and the atomics belongs to the thread.
final class RingLoop {
    /// Completions that one system call hands over at most.
    static let completionsMax = 128

    let mailbox = Mailbox()
    let options: IOExecutor.Options
    let start = StartSignal()
    /// Set by the thread before anyone else hears of the loop.
    private(set) var queue: OpaquePointer?
    /// What the runtime knows it as when tasks prefer it; set before the thread starts.
    var taskExecutor: UnownedTaskExecutor?
    /// Who ends the thread with its own end; set before the thread starts.
    weak var owner: IOExecutor?
    private var letters = Mailbox.Letters()
    private var slabs: [Slab] = []
    private var jobs = JobQueue()
    private var pool = OperationPool()
    private var waiting = OperationList()
    private var flying = OperationList()
    private var flyingCount = 0
    /// No operation that waits has an earlier deadline, on the engine's clock.
    private var firstDeadline = UInt64.max
    private let completions: UnsafeMutablePointer<iotrap_completion>

    init(_ options: IOExecutor.Options) {
        self.options = options
        completions = .allocate(capacity: RingLoop.completionsMax)
        completions.initialize(repeating: iotrap_completion(), count: RingLoop.completionsMax)
    }

    deinit { completions.deallocate() }

    /// The loop that the calling thread is, if it is one.
    static var current: RingLoop? {
        pthread_getspecific(LoopKey.value).map {
            Unmanaged<RingLoop>.fromOpaque($0).takeUnretainedValue()
        }
    }

    var isCurrent: Bool {
        pthread_getspecific(LoopKey.value) == Unmanaged.passUnretained(self).toOpaque()
    }

    // MARK: The thread

    /// Opens the queue, which belongs to the calling thread: 0 or -errno.
    func open() -> Int32 {
        var options = iotrap_queue_options()
        iotrap_queue_options_init(&options)
        options.depth = UInt32(self.options.depth)
        options.buffer_slots = UInt32(Registration.slotsMax)
        return iotrap_queue_open(&options, &queue)
    }

    /// Runs until it was told to stop and nothing is left to do.
    func run() {
        pthread_setspecific(LoopKey.value, Unmanaged.passUnretained(self).toOpaque())
        while true {
            takeMail()
            // Those that they enqueue in turn run in the next round: completions come in between.
            for _ in 0..<jobs.count { run(jobs.removeFirst()) }
            startWaiting()
            if jobs.count == 0 && !mailbox.hasMail {
                let isStopping = mailbox.isStopping
                if isStopping && flyingCount == 0 && waiting.isEmpty { break }
                sleep(knowsOfStop: isStopping)
            } else if flyingCount > 0 {
                take(
                    iotrap_queue_wait(
                        queue, completions, 0, UInt32(RingLoop.completionsMax), 0))
            }
        }
        pthread_setspecific(LoopKey.value, nil)
        // A few instructions at most, of a thread that is about to wake this one.
        while mailbox.hasSenders { sched_yield() }
        iotrap_queue_close(queue)
    }

    private func run(_ entry: LoopJob) {
        if entry.isIsolated {
            // With both said, what the actor calls needs no further turn.
            entry.job.runSynchronously(
                isolatedTo: asUnownedSerialExecutor(), taskExecutor: taskExecutor!)
        } else {
            entry.job.runSynchronously(on: taskExecutor!)
        }
    }

    private func sleep(knowsOfStop: Bool) {
        let mayWait = mailbox.beginSleep(knowsOfStop: knowsOfStop)
        let minimum: UInt32 = mayWait ? 1 : 0
        take(
            iotrap_queue_wait_idle(
                queue, completions, minimum, UInt32(RingLoop.completionsMax),
                mayWait ? untilFirstDeadline : 0))
        mailbox.endSleep()
    }

    private var untilFirstDeadline: UInt64 {
        guard firstDeadline != UInt64.max else { return UInt64.max }
        let now = iotrap_now()
        return firstDeadline > now ? firstDeadline - now : 0
    }

    private func takeMail() {
        guard mailbox.collect(into: &letters) else { return }
        for job in letters.jobs { jobs.append(job) }
        for reference in letters.operations { begin(reference.pointer) }
        for cancellation in letters.cancellations { cancel(cancellation) }
        for reference in letters.returned { pool.give(reference.pointer) }
    }

    /// Puts a job of a task that prefers this thread behind those there are; from any thread.
    func enqueuePreferred(_ job: consuming ExecutorJob) {
        enqueue(LoopJob(job: UnownedJob(job), isIsolated: false))
    }

    private func enqueue(_ entry: LoopJob) {
        if isCurrent { jobs.append(entry) } else { send { $0.post(entry) } }
    }

    /// Lets the thread end once nothing is left to do; from any thread.
    func stop() { send { $0.stop() } }

    /// Sends a letter, and wakes the thread if it sleeps. The queue stays until that is done, even
    /// when the letter was read meanwhile and was the last one.
    private func send(_ post: (Mailbox) -> Bool) {
        mailbox.beginSending()
        if post(mailbox) { iotrap_queue_wake(queue) }
        mailbox.endSending()
    }

    /// Registers memory, which the loop keeps from then on: a slot, or -errno.
    func register(_ slab: Slab) -> Int32 {
        guard slabs.count < Registration.slotsMax else { return -ENOBUFS }
        let slot = UInt32(slabs.count)
        let error = iotrap_queue_set_buffer(
            queue, slot, slab.memory.baseAddress, slab.memory.count)
        guard error == 0 else { return error }
        slabs.append(slab)
        return Int32(slot)
    }

    // MARK: Operations

    /// Memory for an operation; from any thread.
    func makeOperation(_ io: iotrap_io) -> OperationReference {
        if isCurrent { return OperationReference(pool.take(io)) }
        let operation = UnsafeMutablePointer<Operation>.allocate(capacity: 1)
        operation.initialize(to: Operation())
        operation.pointee.reset(io, serial: mailbox.nextSerial())
        return OperationReference(operation)
    }

    /// Takes the memory back after the operation; from any thread.
    func recycle(_ reference: OperationReference) {
        let operation = reference.pointer
        if !operation.pointee.isPooled {
            operation.deinitialize(count: 1)
            operation.deallocate()
        } else if isCurrent {
            pool.give(operation)
        } else {
            mailbox.giveBack(reference)
        }
    }

    /// Starts an operation, whose continuation is resumed when it has ended; from any thread.
    func start(_ reference: OperationReference) {
        if isCurrent { begin(reference.pointer) } else { send { $0.post(reference) } }
    }

    /// Asks for an operation to be cancelled, whether it was started or not; from any thread.
    func requestCancel(_ reference: OperationReference, serial: UInt64) {
        // releasing: pairs with the load in `begin`
        reference.pointer.pointee.isCancelled.store(true, ordering: .releasing)
        cancelStarted(reference, serial: serial)
    }

    /// The same for one that was started, and may be gone by now; from any thread.
    func cancelStarted(_ reference: OperationReference, serial: UInt64) {
        send { $0.post(cancelling: reference, serial: serial) }
    }

    private func begin(_ operation: UnsafeMutablePointer<Operation>) {
        if operation.pointee.isCancelled.load(ordering: .acquiring) {
            operation.pointee.result = Int64(-ECANCELED)
            return resume(operation)
        }
        if waiting.isEmpty, add(operation) { return }
        waiting.append(operation)
        let deadline = operation.pointee.io.deadline_ns
        if deadline != 0 { firstDeadline = min(firstDeadline, deadline) }
    }

    /// Gives an operation to the queue; false when it has no room.
    private func add(_ operation: UnsafeMutablePointer<Operation>) -> Bool {
        let count = operation.pointee.linked == nil ? 1 : 2
        guard flyingCount + count <= options.depth else { return false }
        operation.pointee.io.user_data = UInt64(UInt(bitPattern: operation))
        let error: Int32
        if let linked = operation.pointee.linked {
            linked.pointee.leader = operation
            linked.pointee.io.user_data = UInt64(UInt(bitPattern: linked))
            var pair = InlineArray<2, iotrap_io>(repeating: operation.pointee.io)
            pair[0].flags |= IOTRAP_IO_LINK
            pair[1] = linked.pointee.io
            error = withUnsafePointer(to: &pair) {
                $0.withMemoryRebound(to: iotrap_io.self, capacity: 2) {
                    iotrap_queue_add_many(queue, $0, 2)
                }
            }
        } else {
            error = iotrap_queue_add(queue, &operation.pointee.io)
        }
        if error == -EAGAIN && flyingCount > 0 { return false }
        guard error == 0 else {
            operation.pointee.result = Int64(error)
            resume(operation)
            return true
        }
        operation.pointee.outstanding = UInt32(count)
        flyingCount += count
        flying.append(operation)
        return true
    }

    /// Ends what still waits for room at its deadline: the queue does not know of it.
    private func giveUpWaiting() {
        guard firstDeadline != UInt64.max else { return }
        let now = iotrap_now()
        guard firstDeadline <= now else { return }
        firstDeadline = UInt64.max
        var candidate = waiting.first
        while let operation = candidate {
            candidate = operation.pointee.next
            let deadline = operation.pointee.io.deadline_ns
            if deadline == 0 { continue }
            guard deadline <= now else {
                firstDeadline = min(firstDeadline, deadline)
                continue
            }
            waiting.remove(operation)
            operation.pointee.result = Int64(-ETIME)
            resume(operation)
        }
    }

    private func startWaiting() {
        giveUpWaiting()
        while let operation = waiting.first {
            waiting.remove(operation)
            if add(operation) { continue }
            waiting.prepend(operation)
            return
        }
    }

    private func cancel(_ cancellation: Mailbox.Cancellation) {
        let operation = cancellation.reference.pointer
        if flying.contains(operation, serial: cancellation.serial) {
            iotrap_queue_cancel(queue, operation.pointee.io.user_data)
            if let linked = operation.pointee.linked {
                iotrap_queue_cancel(queue, linked.pointee.io.user_data)
            }
        } else if waiting.contains(operation, serial: cancellation.serial) {
            waiting.remove(operation)
            operation.pointee.result = Int64(-ECANCELED)
            resume(operation)
        }
    }

    /// Notes what ended. Each address is that of an operation that is in flight.
    private func take(_ count: Int32) {
        guard count > 0 else { return }
        for index in 0..<Int(count) {
            let ended = UnsafeMutablePointer<Operation>(
                bitPattern: UInt(completions[index].user_data))!
            ended.pointee.result = completions[index].result
            let leader = ended.pointee.leader ?? ended
            flyingCount -= 1
            leader.pointee.outstanding -= 1
            guard leader.pointee.outstanding == 0 else { continue }
            flying.remove(leader)
            resume(leader)
        }
    }

    private func resume(_ operation: UnsafeMutablePointer<Operation>) {
        if let block = operation.pointee.block {
            block.takeRetainedValue().finish(operation.pointee.result)
            return pool.give(operation)
        }
        let continuation = operation.pointee.continuation!
        operation.pointee.continuation = nil
        continuation.resume()
    }
}

/// The thread as the home of actors.
extension RingLoop: SerialExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        enqueue(LoopJob(job: UnownedJob(job), isIsolated: true))
    }

    func checkIsolated() {
        precondition(isCurrent, "not on the thread of this IOExecutor")
    }
}

/// Where a thread keeps the address of its loop.
enum LoopKey {
    static let value: pthread_key_t = {
        var key = pthread_key_t()
        let error = pthread_key_create(&key, nil)
        precondition(error == 0, "no thread-specific key is left")
        return key
    }()
}
