/// A job of the Swift runtime, and whom it is isolated to.
struct LoopJob: Sendable {
    let job: UnownedJob
    /// True for a job of an actor that lives on the loop.
    let isIsolated: Bool
}

/// First in, first out; grows when it must and keeps its memory.
struct JobQueue: ~Copyable {
    private var slots: UnsafeMutablePointer<LoopJob>
    private var capacity = 256
    private var head = 0
    private(set) var count = 0

    init() { slots = .allocate(capacity: capacity) }

    deinit { slots.deallocate() }

    mutating func append(_ job: LoopJob) {
        if count == capacity { grow() }
        (slots + (head &+ count) & (capacity &- 1)).initialize(to: job)
        count &+= 1
    }

    mutating func removeFirst() -> LoopJob {
        let job = (slots + head).move()
        head = (head &+ 1) & (capacity &- 1)
        count &-= 1
        return job
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<LoopJob>.allocate(capacity: capacity * 2)
        for index in 0..<count {
            (larger + index).initialize(to: slots[(head &+ index) & (capacity &- 1)])
        }
        slots.deallocate()
        slots = larger
        capacity *= 2
        head = 0
    }
}
