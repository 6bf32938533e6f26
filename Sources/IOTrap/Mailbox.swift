import Synchronization

/// What other threads send to a loop, and whether they have to wake it.
final class Mailbox: Sendable {
    /// A cancellation asked for, of one use of an operation's memory.
    struct Cancellation: Sendable {
        let reference: OperationReference
        let serial: UInt64
    }

    /// Letters of each kind.
    struct Letters: Sendable {
        var jobs: [LoopJob] = []
        var operations: [OperationReference] = []
        var cancellations: [Cancellation] = []
        /// Memory of the pool that comes back from elsewhere.
        var returned: [OperationReference] = []

        mutating func removeAll() {
            jobs.removeAll(keepingCapacity: true)
            operations.removeAll(keepingCapacity: true)
            cancellations.removeAll(keepingCapacity: true)
            returned.removeAll(keepingCapacity: true)
        }
    }

    private let arrived = Mutex(Letters())
    private let full = Atomic<Bool>(false)
    private let asleep = Atomic<Bool>(false)
    private let stopping = Atomic<Bool>(false)
    /// Threads between a letter and the wake-up that it may need.
    private let senders = Atomic<Int>(0)
    /// Serial numbers outside of the pool have the top bit.
    private let serial = Atomic<UInt64>(1 << 63)

    /// Before a letter that is not the loop's own.
    func beginSending() {
        // sequentially consistent, as the letter: who reads that sees this
        senders.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }

    func endSending() {
        // releasing: pairs with the load of the loop's end
        senders.wrappingSubtract(1, ordering: .releasing)
    }

    // MARK: From any thread; true: the loop sleeps, and whoever asked has to wake it

    func post(_ job: LoopJob) -> Bool {
        arrived.withLock { $0.jobs.append(job) }
        return announce()
    }

    func post(_ operation: OperationReference) -> Bool {
        arrived.withLock { $0.operations.append(operation) }
        return announce()
    }

    func post(cancelling reference: OperationReference, serial: UInt64) -> Bool {
        arrived.withLock {
            $0.cancellations.append(Cancellation(reference: reference, serial: serial))
        }
        return announce()
    }

    /// Memory is not urgent: the loop finds it when it looks next.
    func giveBack(_ reference: OperationReference) {
        arrived.withLock { $0.returned.append(reference) }
        // relaxed: a later look finds it
        full.store(true, ordering: .relaxed)
    }

    func stop() -> Bool {
        stopping.store(true, ordering: .sequentiallyConsistent)
        return asleep.exchange(false, ordering: .sequentiallyConsistent)
    }

    func nextSerial() -> UInt64 {
        // relaxed: only different numbers are asked for
        serial.wrappingAdd(1, ordering: .relaxed).newValue
    }

    private func announce() -> Bool {
        // sequentially consistent, as in `beginSleep`: either the loop sees the letter before it
        // sleeps, or this sees it asleep
        full.store(true, ordering: .sequentiallyConsistent)
        return asleep.load(ordering: .sequentiallyConsistent)
            && asleep.exchange(false, ordering: .sequentiallyConsistent)
    }

    // MARK: From the loop's thread

    var hasMail: Bool { full.load(ordering: .acquiring) }
    var hasSenders: Bool { senders.load(ordering: .acquiring) != 0 }
    var isStopping: Bool { stopping.load(ordering: .acquiring) }

    /// Takes all letters; false when there are none. Both sets of arrays are used in turn.
    func collect(into letters: inout Letters) -> Bool {
        guard full.exchange(false, ordering: .acquiring) else { return false }
        letters.removeAll()
        arrived.withLock { swap(&$0, &letters) }
        return true
    }

    /// Announces the sleep; false when something has come that the loop has not seen.
    func beginSleep(knowsOfStop: Bool) -> Bool {
        asleep.store(true, ordering: .sequentiallyConsistent)
        return !full.load(ordering: .sequentiallyConsistent)
            && (knowsOfStop || !stopping.load(ordering: .sequentiallyConsistent))
    }

    // relaxed: a wake-up too many does no harm
    func endSleep() { asleep.store(false, ordering: .relaxed) }
}
