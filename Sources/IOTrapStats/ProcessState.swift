import Glibc

/// What became of the process that a segment belongs to.
public enum ProcessState: Equatable, Sendable {
    /// It runs.
    case running
    /// It ended in an orderly way.
    case ended
    /// It is gone without having said so: killed, or replaced.
    case died

    /// The name in tables and JSON.
    public var name: String {
        switch self {
        case .running: "running"
        case .ended: "ended"
        case .died: "died"
        }
    }
}

extension SegmentHeader {
    /// What became of the process, as far as this process may see.
    public var state: ProcessState {
        if ended { return .ended }
        return processRuns(processID, since: startedNanoseconds) ? .running : .died
    }

    /// How long the process has run, or did until its orderly end, in nanoseconds.
    public var ageNanoseconds: UInt64 {
        let end = endedNanoseconds != 0 ? endedNanoseconds : clockNanoseconds(CLOCK_MONOTONIC)
        return end > startedNanoseconds ? end - startedNanoseconds : 0
    }
}

/// Whether the process still runs that had this ID at a moment of CLOCK_MONOTONIC.
///
/// In doubt it runs: the answer decides about deleting what it counted.
public func processRuns(_ processID: Int32, since startedNanoseconds: UInt64) -> Bool {
    if processID <= 0 { return false }
    if kill(processID, 0) != 0 && errno == ESRCH { return false }
    let now = clockNanoseconds(CLOCK_MONOTONIC)
    // The clock starts at boot, so a moment still to come was noted before the last one.
    if startedNanoseconds > now { return false }
    guard let status = ProcessStatus(processID) else { return true }
    if status.isZombie { return false }
    // /proc counts from boot with time asleep, the segment without. Adding all sleep there ever
    // was makes the segment younger than it is, never older.
    let asleep = clockNanoseconds(CLOCK_BOOTTIME) &- now
    let tick: UInt64 = 1_000_000_000 / UInt64(max(1, sysconf(Int32(_SC_CLK_TCK))))
    let latest = saturatingSum(saturatingSum(startedNanoseconds, asleep), 2 * tick)
    let began = status.startTicks.multipliedReportingOverflow(by: tick)
    return began.overflow || began.partialValue <= latest
}

/// Whether any process with this ID runs now.
public func processExists(_ processID: Int32) -> Bool {
    processRuns(processID, since: clockNanoseconds(CLOCK_MONOTONIC))
}

/// A clock in nanoseconds.
func clockNanoseconds(_ clock: clockid_t) -> UInt64 {
    var now = timespec()
    clock_gettime(clock, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// The fields of /proc/PID/stat that tell one holder of a process ID from the next.
private struct ProcessStatus {
    let isZombie: Bool
    let startTicks: UInt64

    init?(_ processID: Int32) {
        guard let content = smallFile("/proc/\(processID)/stat"),
            // The name before it is in parentheses and may hold anything, parentheses too.
            let nameEnd = content.lastIndex(of: UInt8(ascii: ")"))
        else { return nil }
        let fields = content[(nameEnd + 1)...].split(separator: UInt8(ascii: " "))
        // Field 3 of proc(5) comes first here.
        guard fields.count > 19,
            let threads = UInt64(String(decoding: fields[17], as: UTF8.self)),
            let ticks = UInt64(String(decoding: fields[19], as: UTF8.self))
        else { return nil }
        // A thread group whose first thread has ended looks like a zombie and is none.
        isZombie = fields[0].first == UInt8(ascii: "Z") && threads <= 1
        startTicks = ticks
    }
}
