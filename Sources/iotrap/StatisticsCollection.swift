import CIOTrap
import Glibc
import IOTrapStats

/// The segments of one `iotrap run --stats`: a private directory that its program, and all that the
/// program starts, keep their segments in.
struct StatisticsCollection {
    private let path: String

    /// Makes the directory and names it in the environment. Nil, with a line on the standard error
    /// output, when that fails: the program then runs without statistics.
    init?(environment: inout Environment) {
        var base = environment["IOTRAP_STATS_DIR"].map(\.text) ?? ""
        if base.isEmpty { base = SegmentDirectory.standardPath(userID: geteuid()) }
        // The program may change its directory before it starts another one.
        if !base.hasPrefix("/"), let current = getcwd(nil, 0) {
            base = String(cString: current) + "/" + base
            free(current)
        }
        do throws(SegmentError) {
            mkdir(base, 0o700)
            _ = try SegmentDirectory(path: base)
            SegmentSearch(directory: base).prune()
            path = "\(base)/\(SegmentSearch.privatePrefix)\(getpid())"
            // It exists if an earlier process of this ID was killed; it is ours all the same.
            mkdir(path, 0o700)
            _ = try SegmentDirectory(path: path)
        } catch {
            Diagnostics.complain("no statistics: \(error)")
            return nil
        }
        environment.set("IOTRAP_STATS_DIR", ByteString(path))
    }

    /// Prints what the program and its descendants did, and removes what is no longer needed.
    func report(of processID: pid_t, mode: UInt32) {
        do throws(SegmentError) {
            let directory = try SegmentDirectory(path: path)
            let running = try Self.print(directory, first: processID, mode: mode)
            if running.isEmpty {
                rmdir(path)
            } else {
                Diagnostics.complain(
                    "still running: \(running.count) of its processes; see iotrap stat "
                        + "\(running[0])")
            }
        } catch {
            Diagnostics.complain("no statistics: \(error)")
        }
    }

    /// Sums up all segments, prints the sum and removes those of processes that have ended.
    /// Returns the IDs of those that have not.
    private static func print(
        _ directory: borrowing SegmentDirectory, first: pid_t, mode: UInt32
    ) throws(SegmentError) -> [pid_t] {
        var sum: Snapshot?
        var running: [pid_t] = []
        // The program itself first: its name stands in the head of the table.
        let processIDs = directory.processIDs()
        for processID in processIDs.filter({ $0 == first }) + processIDs.filter({ $0 != first }) {
            // Not what the segment says: exec ends one and begins another under the same name,
            // and removing that would take it from a process that still counts.
            let isRunning = processID != first && processExists(processID)
            do throws(SegmentError) {
                let snapshot = try directory.segment(of: processID).snapshot()
                if sum == nil { sum = snapshot } else { sum?.merge(snapshot) }
            } catch {
                // Between two programs of one process, or before its first header.
                let isChanging = error.reason == .missing || error.reason == .unfinished
                if !isRunning || !isChanging { Diagnostics.complain("not counted: \(error)") }
            }
            if isRunning { running.append(processID) } else { directory.remove(processID) }
        }
        if let sum {
            Diagnostics.write("\n" + Report(sum, state: sum.header.state).text, to: STDERR_FILENO)
        } else {
            let isOff = mode == IOTRAP_MODE_OFF.rawValue
            Diagnostics.complain(
                isOff
                    ? "no statistics: mode off counts nothing; use --mode observe"
                    : "no statistics: the program made no call that the library saw")
        }
        return running
    }
}
