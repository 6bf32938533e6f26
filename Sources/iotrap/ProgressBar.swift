import Glibc
import IOReplay
import IOTrapStats

/// One line on a terminal that says how far a replay has come. Nothing where there is no terminal.
final class ProgressBar {
    private let isShown = isatty(STDERR_FILENO) != 0
    private var last: UInt64 = 0
    private var isThere = false

    func show(_ progress: Replay.Progress) {
        if !isShown { return }
        // Ten times a second is as often as anybody can look.
        let now = clock_gettime_nsec()
        if now - last < 100_000_000 && isThere { return }
        last = now
        isThere = true
        switch progress {
        case .preparing(let done, let all): draw("preparing", done, all, Units.bytes(done))
        case .running(let done, let all): draw("replaying", done, all, Units.count(done))
        case .checking: Diagnostics.write("\r\u{1B}[Kchecking", to: STDERR_FILENO)
        }
    }

    /// Takes the line away.
    func clear() {
        if isThere { Diagnostics.write("\r\u{1B}[K", to: STDERR_FILENO) }
        isThere = false
    }

    private func draw(_ what: String, _ done: UInt64, _ all: UInt64, _ amount: String) {
        let width = 40
        let share = all == 0 ? 1 : min(1, Double(done) / Double(all))
        let full = Int(share * Double(width))
        let bar =
            String(repeating: "#", count: full) + String(repeating: ".", count: width - full)
        Diagnostics.write(
            "\r\u{1B}[K\(what) [\(bar)] \(Int(share * 100)) % \(amount)", to: STDERR_FILENO)
    }

    private func clock_gettime_nsec() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }
}
