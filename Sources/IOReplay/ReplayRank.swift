import IOTrace

/// By what a trace is shared out.
package enum ReplayShare: String, CaseIterable, Sendable {
    /// Each file belongs to one rank: whoever writes it also syncs it, and can check it.
    case file
    /// Each recorded thread belongs to one rank, and files to all of them.
    case thread
}

/// One of several processes that replay a trace together.
package struct ReplayRank: Equatable, Sendable {
    /// 0 ..< count
    package let number: Int
    /// Processes in all.
    package let count: Int
    /// How the trace is shared out.
    package let share: ReplayShare

    /// Ranks of one replay, at most.
    package static let countMax = 4096

    /// A rank; nil if the number is not below the count, or that is too large.
    package init?(number: Int, count: Int, share: ReplayShare = .file) {
        guard 1...Self.countMax ~= count, 0..<count ~= number else { return nil }
        self.number = number
        self.count = count
        self.share = share
    }
}

/// Which events of a trace are those of one rank. All ranks read the same trace and come to the
/// same answer.
struct RankShare {
    let rank: ReplayRank
    /// The same for all ranks of a replay, and for no other trace or way of sharing it.
    let digest: UInt64
    private var rankOfFile: [Int] = []
    private var rankOfThread: [UInt32: Int] = [:]

    /// - Parameters:
    ///   - plan: of the whole trace.
    init(_ plan: ReplayPlan, _ rank: ReplayRank) {
        self.rank = rank
        var sum = FNVSum()
        sum.add(UInt64(rank.count))
        sum.add(plan.eventCount)
        sum.add(plan.firstNanoseconds)
        switch rank.share {
        case .file:
            let ranks = Self.distribute(plan.contentWeights, over: rank.count)
            rankOfFile = plan.contentOfFile.map { $0 < ranks.count ? ranks[$0] : 0 }
            for weight in plan.contentWeights { sum.add(weight) }
        case .thread:
            let ranks = Self.distribute(plan.sourceWeights, over: rank.count)
            rankOfThread = plan.sources.mapValues { ranks[Int($0)] }
            sum.add(1)
            for weight in plan.sourceWeights { sum.add(weight) }
        }
        digest = sum.value
    }

    /// The heaviest first, each to the rank that has least to do so far.
    static func distribute(_ weights: [UInt64], over count: Int) -> [Int] {
        var ranks = [Int](repeating: 0, count: weights.count)
        var loads = [UInt64](repeating: 0, count: count)
        let order = weights.indices.sorted { (weights[$1], $0) < (weights[$0], $1) }
        for index in order {
            var least = 0
            for rank in 1..<max(1, count) where loads[rank] < loads[least] { least = rank }
            ranks[index] = least
            loads[least] &+= max(1, weights[index])
        }
        return ranks
    }

    /// Whether an event is this rank's, going by what it has of the events before.
    func isOwn(_ event: TraceEvent, _ history: StreamHistory) -> Bool {
        switch rank.share {
        case .thread: return rankOfThread[event.thread] == rank.number
        case .file:
            if event.file != TraceEvent.noFile {
                return rankOfFile[Int(event.file)] == rank.number
            }
            // What is dirty is dirty on every machine.
            if event.operation == .sync { return true }
            // A commit is where the write is that it waits for.
            if event.after == 0 { return rank.number == 0 }
            return history.find(event.after, before: event) != .foreign
        }
    }

    /// The rank of an event that has a file.
    func owner(of event: TraceEvent) -> Int {
        switch rank.share {
        case .thread: rankOfThread[event.thread] ?? 0
        case .file: rankOfFile[Int(event.file)]
        }
    }
}

/// The hash of Fowler, Noll and Vo, over whole numbers.
struct FNVSum {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ number: UInt64) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            value = (value ^ (number >> shift & 0xff)) &* 0x100_0000_01b3
        }
    }
}
