import Glibc
import IOReplay

/// Which share of a trace this process replays: what a launcher says, or options.
struct RankOptions {
    /// Where the ranks meet, and where their results go.
    private(set) var results = ""
    /// Seconds that the others may take to be ready.
    private(set) var startWithinSeconds = 300
    private var number: Int?
    private var count: Int?
    private var share = ReplayShare.file

    /// Variables that hold a rank, and the number of ranks if the launcher tells it.
    private static let launchers: [(rank: String, count: String?)] = [
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"),
        ("JOB_COMPLETION_INDEX", nil),
    ]
    private static let numbers = 0...(ReplayRank.countMax - 1)
    private static let counts = 1...ReplayRank.countMax

    /// Reads an option that is about ranks; false if it is not.
    mutating func read(
        _ name: String, _ attached: ByteString?, _ reader: inout OptionReader
    ) throws(CommandFailure) -> Bool {
        switch name {
        case "--rank":
            number = try reader.number(of: name, attached, in: Self.numbers)
        case "--ranks":
            count = try reader.number(of: name, attached, in: Self.counts)
        case "--results": results = try reader.value(of: name, attached).text
        case "--start-within":
            startWithinSeconds = try reader.number(of: name, attached, in: 1...86400)
        case "--share":
            let value = try reader.value(of: name, attached).text
            guard let share = ReplayShare(rawValue: value) else {
                throw .usage("unknown way '\(value)' of --share; valid ways: file, thread")
            }
            self.share = share
        default: return false
        }
        return true
    }

    /// The rank; nil: this process replays all of the trace.
    func rank() throws(CommandFailure) -> ReplayRank? {
        if count == 1 && number ?? 0 == 0 { return try all() }
        let launcher = Self.launchers.first { getenv($0.rank) != nil }
        var source = "--rank"
        var number = self.number
        var count = self.count
        if let launcher, number == nil {
            source = launcher.rank
            number = try Self.value(of: launcher.rank, in: Self.numbers)
        }
        if let name = launcher?.count, count == nil, getenv(name) != nil {
            count = try Self.value(of: name, in: Self.counts)
        }
        guard let number else {
            guard let count else { return try all() }
            throw .usage("--ranks \(count) has no rank; write --rank and a number from 0 on")
        }
        guard let count else {
            throw .usage(
                "\(source) says rank \(number) and nothing says of how many; write --ranks and "
                    + "their number, or --ranks 1 to replay all of the trace here")
        }
        if count == 1 && number == 0 { return try all() }
        guard let rank = ReplayRank(number: number, count: count, share: share) else {
            throw .usage("rank \(number) is none of \(count); ranks go from 0 to \(count - 1)")
        }
        if results.isEmpty {
            throw .usage(
                "rank \(number) of \(count) (\(source)) has no place for its result; write "
                    + "--results and a directory that all ranks see, or --ranks 1 to replay all "
                    + "of the trace here")
        }
        return rank
    }

    private func all() throws(CommandFailure) -> ReplayRank? {
        if results.isEmpty { return nil }
        throw .usage("--results is for several ranks; write --json FILE, or --rank and --ranks")
    }

    private static func value(
        of name: String, in range: ClosedRange<Int>
    ) throws(CommandFailure) -> Int {
        let text = getenv(name).map { String(cString: $0) } ?? ""
        guard let value = Int(text), range.contains(value) else {
            throw .usage(
                "wrong value '\(text)' of the variable \(name); give --rank and --ranks instead")
        }
        return value
    }
}
