import CIOReplay

/// By which interface requests reach the kernel.
package enum ReplayEngine: String, CaseIterable, Sendable {
    /// pread, pwrite and threads.
    case sync
    case libaio
    case uring
    case posixaio

    /// The number that the C part knows it by.
    var number: UInt32 {
        let value =
            switch self {
            case .sync: IOTRAP_REPLAY_SYNC
            case .libaio: IOTRAP_REPLAY_LIBAIO
            case .uring: IOTRAP_REPLAY_URING
            case .posixaio: IOTRAP_REPLAY_POSIXAIO
            }
        return UInt32(value.rawValue)
    }
}

/// When requests are submitted.
package enum ReplayPace: Equatable, Sendable {
    /// As soon as dependencies and depth allow.
    case asap
    /// At the recorded times, so many times faster.
    case recorded(speed: Double)

    /// Reads "asap", "recorded" or "xN"; nil for anything else.
    package init?(_ text: String) {
        switch text {
        case "asap": self = .asap
        case "recorded": self = .recorded(speed: 1)
        default:
            guard text.hasPrefix("x"), let speed = Double(text.dropFirst()),
                speed >= 0.001 && speed <= 1_000_000
            else { return nil }
            self = .recorded(speed: speed)
        }
    }

    /// As it is written.
    package var text: String {
        switch self {
        case .asap: "asap"
        case .recorded(let speed): speed == 1 ? "recorded" : "x\(speed)"
        }
    }
}

/// How a trace is replayed.
package struct ReplayOptions: Sendable {
    /// The trace.
    package var trace = ""
    /// The directory that holds the files.
    package var target = ""
    /// The interface.
    package var engine = ReplayEngine.uring
    /// The pace.
    package var pace = ReplayPace.recorded(speed: 1)
    /// Threads; nil: as many as were recorded.
    package var threads: Int?
    /// Whether every read is checked.
    package var verifies = false
    /// Whether a directory that holds other things is used all the same.
    package var isForced = false
    /// Which share of the trace; nil: all of it.
    package var rank: ReplayRank?
    /// With a rank: the directory that all ranks see.
    package var results = ""
    /// With a rank: seconds that the others may take to be ready.
    package var startWithinSeconds = 300

    /// All as usual.
    package init() {}
}
