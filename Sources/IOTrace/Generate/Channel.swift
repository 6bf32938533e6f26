/// One thread of a load: when it submits what, and when that is complete.
///
/// The device is a queue: requests of a channel complete in the order of their submission, each
/// after its transfer at the channel's bandwidth and a random latency of the request. So what is in
/// flight is a span of a ring, and every step takes the same time at any depth.
struct Channel {
    /// The part that it belongs to.
    let planIndex: Int
    /// Its number in events, from 1.
    let thread: UInt32
    var firstFile: UInt32 = 0
    var fileCount: UInt32 = 1
    var random: RandomNumbers

    /// When it submits next; `.max`: never again, or not until something else has ended.
    var nextSubmit: UInt64 = 0
    /// Requests of the next submission.
    var nextBatch: UInt64 = 1
    var depth: UInt64 = 1
    private(set) var submissions: UInt64 = 0

    /// Completion times of the last requests, by number modulo the capacity.
    private let completions: UnsafeMutablePointer<UInt64>
    /// The events of commits to come, and the events that they wait for.
    private let commitTimes: UnsafeMutablePointer<UInt64>
    private let commitCauses: UnsafeMutablePointer<UInt64>
    private let mask: UInt64
    private(set) var issued: UInt64 = 0
    private var oldest: UInt64 = 0
    private var commitsQueued: UInt64 = 0
    private var commitsDone: UInt64 = 0
    private var busyUntil: UInt64 = 0
    private(set) var lastComplete: UInt64 = 0

    // Arrivals.
    var arrival: Double = 0
    var stateEnd: Double = 0
    var isBursting = false

    // Where the next request goes.
    var position: UInt64 = 0
    var currentFile: UInt32 = 0
    var superblock: UInt64 = 0
    var superblockLeft: UInt64 = 0

    // Bursts, totals, syncs.
    var burstStart: UInt64 = 0
    var burstLeft: UInt64 = .max
    var criticalBytes: UInt64 = 0
    var isCritical = false
    var totalLeft: UInt64 = .max
    var writesSinceSync: UInt64 = 0
    /// Files that a sync is still to be made for; the next step does one of them.
    var syncsLeft: UInt32 = 0
    /// The last write, as an event number plus one; 0: none.
    var lastWrite: UInt64 = 0
    /// An event that the next one depends on, plus one; 0: none.
    var cause: UInt64 = 0

    init(planIndex: Int, thread: UInt32, random: RandomNumbers, plan: LoadPlan) {
        self.planIndex = planIndex
        self.thread = thread
        self.random = random
        var capacity: UInt64 = 4
        while capacity < plan.depth.upperBound + plan.batch.upperBound + 2 { capacity *= 2 }
        mask = capacity - 1
        completions = .allocate(capacity: Int(capacity))
        commitTimes = .allocate(capacity: Int(capacity))
        commitCauses = .allocate(capacity: Int(capacity))
    }

    /// Frees what `init` took.
    func deallocate() {
        completions.deallocate()
        commitTimes.deallocate()
        commitCauses.deallocate()
    }

    /// When the next commit is due; `.max`: none is queued.
    @inline(__always)
    var nextCommit: UInt64 {
        commitsDone == commitsQueued ? .max : commitTimes[Int(commitsDone & mask)]
    }

    /// Takes the next commit off the queue; returns the event that it waits for.
    mutating func takeCommit() -> UInt64 {
        defer { commitsDone &+= 1 }
        return commitCauses[Int(commitsDone & mask)]
    }

    /// A commit at the time at which `event` is complete.
    mutating func queueCommit(at time: UInt64, after event: UInt64) {
        commitTimes[Int(commitsQueued & mask)] = time
        commitCauses[Int(commitsQueued & mask)] = event
        commitsQueued &+= 1
    }

    /// Starts a submission: forgets what is complete by now.
    @inline(__always)
    mutating func beginSubmission(at time: UInt64) {
        submissions &+= 1
        while oldest < issued && completions[Int(oldest & mask)] <= time { oldest &+= 1 }
    }

    /// Adds a request; returns its latency and the requests in flight with it.
    @inline(__always)
    mutating func issue(
        at time: UInt64, transfer: UInt64, latency: UInt64
    ) -> (latency: UInt64, depth: UInt32) {
        busyUntil = max(time, busyUntil) &+ transfer
        lastComplete = max(lastComplete &+ 1, busyUntil &+ latency, time &+ 1)
        completions[Int(issued & mask)] = lastComplete
        issued &+= 1
        return (lastComplete &- time, UInt32(truncatingIfNeeded: issued &- oldest))
    }

    /// A sync that is submitted at `time`, when everything else is complete; returns its latency.
    mutating func synchronise(at time: UInt64, latency: UInt64) -> UInt64 {
        lastComplete = max(lastComplete &+ 1, time &+ max(1, latency))
        return lastComplete &- time
    }

    /// When a submission of so many requests finds room.
    @inline(__always)
    func roomTime(for batch: UInt64) -> UInt64 {
        let end = issued &+ batch
        return end <= depth ? 0 : completions[Int((end &- 1 &- depth) & mask)]
    }
}
