import CIOTrap
import Glibc

/// What a recording became.
public struct RecordingReport: Equatable, Sendable {
    /// Events in the trace.
    public internal(set) var events: UInt64 = 0
    /// Bytes of the trace.
    public internal(set) var bytes: UInt64 = 0
    /// Entries of its file table.
    public internal(set) var files: UInt64 = 0
    /// Processes that were recorded.
    public internal(set) var processes = 0
    /// Events that were dropped, with the reasons; empty when none was.
    public internal(set) var drops: [(reason: String, count: UInt64)] = []
    /// Events of which something is assumed, with what that is; empty when nothing is.
    public internal(set) var assumptions: [(what: String, count: UInt64)] = []
    /// Chunks that were torn or damaged.
    public internal(set) var damagedChunks: UInt64 = 0
    /// Whether the processes' memory was gone, with all that no part had.
    public internal(set) var isMemoryLost = false

    /// Events that were dropped.
    public var droppedCount: UInt64 { drops.reduce(0) { $0 + $1.count } }

    /// Whether all of it is the same.
    public static func == (a: RecordingReport, b: RecordingReport) -> Bool {
        a.events == b.events && a.bytes == b.bytes && a.files == b.files
            && a.processes == b.processes && a.damagedChunks == b.damagedChunks
            && a.isMemoryLost == b.isMemoryLost
            && a.drops.map(\.reason) == b.drops.map(\.reason)
            && a.drops.map(\.count) == b.drops.map(\.count)
            && a.assumptions.map(\.what) == b.assumptions.map(\.what)
            && a.assumptions.map(\.count) == b.assumptions.map(\.count)
    }
}

extension RecordingReport {
    /// What came of the calls at file positions.
    fileprivate mutating func add(_ positions: FilePositions) {
        if positions.unknownCount > 0 {
            drops.append(
                (
                    "something unseen moved their file position, so that nobody knows their offset",
                    positions.unknownCount
                ))
        }
        if positions.sharedCount > 0 {
            assumptions.append(
                (
                    "others moved the same file position at the same time, and it may be theirs",
                    positions.sharedCount
                ))
        }
        if positions.unconfirmedCount > 0 {
            assumptions.append(
                (
                    "their file position was not looked at again, and only calls that were seen "
                        + "are taken to have moved it",
                    positions.unconfirmedCount
                ))
        }
    }
}

extension Recording {
    /// Ends the recording and makes the trace of what there is. The recording stays when that
    /// fails, and is removed when it has succeeded.
    public func finish() throws(TraceError) -> RecordingReport {
        end()
        var report = RecordingReport()
        var parts = try RecordingParts(self)
        let counts = counts()
        report.isMemoryLost = counts == nil
        report.processes = parts.names.count
        let dropped = counts?.dropped ?? []
        for (reason, count) in dropped.enumerated() where count > 0 {
            report.drops.append((Self.text(ofDrop: UInt32(reason)), count))
        }
        var header = TraceHeader()
        header.isOrdered = true
        header.isAnonymised = options.isAnonymised
        header.startedRealtimeNanoseconds = counts?.startedRealtimeNanoseconds ?? 0
        let assembled = "\(self.parts)/assembled"
        // Of an attempt that was interrupted.
        unlink(assembled)
        var writer = try TraceWriter(path: assembled, header: header)
        try writer.addMetadata([("producer", "iotrap record"), ("program", programName)])
        writer.drop(report.droppedCount)
        var assembly = try RecordingAssembly(
            writer, hash: options.isAnonymised ? PathHash() : nil)
        var positions = FilePositions()
        repeat {
            let next = try parts.next()
            if let (record, process, stream) = next {
                positions.put(.init(record: record, process: process, stream: stream))
            } else {
                positions.end()
            }
            while let ready = positions.next() {
                try assembly.take(
                    ready.record, process: ready.process, stream: ready.stream,
                    files: parts.files[ready.process])
            }
            if next == nil { break }
        } while true
        report.damagedChunks = parts.damaged
        try assembly.note(positions)
        let totals = try assembly.finish()
        try place(assembled)
        report.events = totals.events
        report.add(positions)
        if totals.dropped > report.droppedCount {
            report.drops.append(
                ("the name of their file had been dropped", totals.dropped - report.droppedCount))
        }
        report.files = totals.files
        var status = stat()
        if stat(output, &status) == 0 { report.bytes = UInt64(clamping: status.st_size) }
        remove()
        return report
    }

    /// A name may say as much as a path.
    private var programName: String { options.isAnonymised ? "" : options.program }

    private static func text(ofDrop reason: UInt32) -> String {
        switch reason {
        case IOTRAP_DROP_FULL.rawValue: "the recording reached its greatest size"
        case IOTRAP_DROP_DISK.rawValue: "no space for parts, or a limit of the program's"
        case IOTRAP_DROP_ACCESS.rawValue: "parts or buffers could not be made"
        default: "a signal handler came while another event was written"
        }
    }
}
