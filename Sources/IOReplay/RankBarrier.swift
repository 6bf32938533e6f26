import CIOReplay
import Glibc

/// Lets the ranks of a replay start together, by way of files in a directory that all of them see.
///
/// Rank 0 calls, in the file `.start`; each other one answers, in `.rank-N`; rank 0 then names the
/// answers that it saw and the time at which all begin. Calls and answers hold a random number
/// that the reply repeats, so that nothing that an earlier replay left there counts. Files are
/// rewritten in place: clients of network file systems ask for the attributes of a file that they
/// open, but may remember for long that there is none.
final class RankBarrier {
    private let directory: String
    private let rank: ReplayRank
    private let digest: UInt64
    private let withinSeconds: Int
    private var last = RankNotes.Start()

    /// Between rank 0's decision and the start: all must see it before.
    private static let leadNanoseconds: UInt64 = 250_000_000
    private static let pollMicroseconds: UInt32 = 5000
    /// Seconds after which rank 0 takes its file away although not all have seen it.
    private static let patienceSeconds = 5

    /// - Parameter digest: of the trace and how it is shared out.
    init(
        directory: String, rank: ReplayRank, digest: UInt64, withinSeconds: Int
    ) throws(ReplayError) {
        self.directory = directory
        self.rank = rank
        self.digest = digest
        self.withinSeconds = withinSeconds
        if mkdir(directory, 0o777) != 0 && errno != EEXIST {
            throw .system(directory, "mkdir", errno, remedy: "give --results another directory")
        }
    }

    deinit {
        if rank.number > 0 {
            unlink(path(of: rank.number))
            return
        }
        // Those that have seen that they may start take their answers away.
        let until = Self.realtimeNanoseconds() + UInt64(Self.patienceSeconds) * 1_000_000_000
        while !last.answers.isEmpty && Self.realtimeNanoseconds() < until {
            let isSeen = (1..<rank.count).allSatisfy { number in
                RankNotes.Answer(at: path(of: number)).map { $0.call != last.call } ?? true
            }
            if isSeen { break }
            usleep(Self.pollMicroseconds)
        }
        unlink(startPath)
    }

    /// Waits until all ranks are here, and then for the time at which all begin.
    ///
    /// - Returns: false if a signal came.
    /// - Throws: that some did not come, and which, or that they replay something else.
    func wait() throws(ReplayError) -> Bool {
        let own = UInt64.random(in: 1...UInt64.max)
        let begin = try rank.number == 0 ? call(own) : answer(own)
        guard let begin else { return false }
        let now = Self.realtimeNanoseconds()
        if now < begin {
            // Not longer than rank 0 plans ahead, whatever the clock here says.
            var rest = timespec()
            rest.tv_nsec = Int(min(begin - now, Self.leadNanoseconds))
            nanosleep(&rest, nil)
        }
        return !isInterrupted
    }

    static func realtimeNanoseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    private var startPath: String { directory + "/.start" }
    private func path(of number: Int) -> String { directory + "/.rank-\(number)" }
    private var isInterrupted: Bool { iotrap_replay_signal_flag().pointee != 0 }

    /// Calls `body` until it has something, a signal comes (nil), or time is over (throws).
    private func poll<Found>(
        _ body: () throws(ReplayError) -> Found?, missing: () -> [Int]
    ) throws(ReplayError) -> Found? {
        let until = Self.monotonicSeconds() + Double(withinSeconds)
        while true {
            if let found = try body() { return found }
            if isInterrupted { return nil }
            if Self.monotonicSeconds() > until { throw absence(missing()) }
            usleep(Self.pollMicroseconds)
        }
    }

    private static func monotonicSeconds() -> Double {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
    }

    private func absence(_ missing: [Int]) -> ReplayError {
        let some = missing.prefix(16).map(String.init).joined(separator: ", ")
        let more = missing.count > 16 ? " and \(missing.count - 16) more" : ""
        return ReplayError(
            "\(directory): \(missing.count == 1 ? "rank" : "ranks") \(some)\(more) of "
                + "\(rank.count) did not come within \(withinSeconds) s; start all of them with "
                + "this --results directory, which all must see, or give them longer with "
                + "--start-within")
    }

    /// Rank 0: calls, and waits for all answers. Returns when all begin.
    private func call(_ own: UInt64) throws(ReplayError) -> UInt64? {
        var start = last
        start.call = own
        try RankNotes.write(start.lines, to: startPath)
        var answers = [UInt64?](repeating: nil, count: rank.count)
        answers[0] = own
        let isComplete = try poll { () throws(ReplayError) -> Bool? in
            for number in 1..<rank.count where answers[number] == nil {
                guard let answer = RankNotes.Answer(at: path(of: number)),
                    answer.call == own
                else { continue }
                answers[number] = answer.own
                if answer.digest == digest { continue }
                start.begin = 0
                start.answers = answers.compactMap(\.self)
                try RankNotes.write(start.lines, to: startPath)
                last = start
                throw difference(number)
            }
            return answers.allSatisfy { $0 != nil } ? true : nil
        } missing: {
            answers.indices.filter { answers[$0] == nil }
        }
        if isComplete == nil { return nil }
        start.begin = Self.realtimeNanoseconds() + Self.leadNanoseconds
        start.answers = answers.compactMap(\.self)
        try RankNotes.write(start.lines, to: startPath)
        last = start
        return start.begin
    }

    private func difference(_ number: Int) -> ReplayError {
        ReplayError(
            "\(directory): rank \(number) replays another trace than rank 0, or shares it out in "
                + "another way; give all ranks the same trace, --ranks and --share")
    }

    /// Another rank: answers each call until it is named. Returns when all begin.
    private func answer(_ own: UInt64) throws(ReplayError) -> UInt64? {
        var call: UInt64 = 0
        let begin = try poll { () throws(ReplayError) -> UInt64? in
            guard let start = RankNotes.Start(at: startPath) else { return nil }
            if start.answers.contains(own) { return start.begin }
            if start.call != call {
                call = start.call
                let answer = RankNotes.Answer(call: call, own: own, digest: digest)
                try RankNotes.write(answer.lines, to: path(of: rank.number))
            }
            return nil
        } missing: {
            // Whoever has not answered the call that this rank has answered.
            let silent = (1..<rank.count).filter {
                RankNotes.Answer(at: path(of: $0))?.call != call
            }
            return call == 0 || silent.isEmpty ? [0] : silent
        }
        if begin != nil { unlink(path(of: rank.number)) }
        if begin == 0 { throw difference(rank.number) }
        return begin
    }
}
