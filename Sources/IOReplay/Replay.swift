import CIOReplay
import Glibc
import IOTrace

/// Replays one trace, as often as asked, on one directory.
package final class Replay {
    /// How far a run has come.
    package enum Progress {
        /// Bytes of the files that are written, and all of them.
        case preparing(UInt64, UInt64)
        /// Events that are complete, and all of them.
        case running(UInt64, UInt64)
        /// Files are read again.
        case checking
    }

    /// What the trace needs.
    package let plan: ReplayPlan
    /// Threads that submit.
    package let lanes: Int
    private let options: ReplayOptions
    private let target: ReplayTarget
    /// Of a rank.
    private var barrier: RankBarrier?

    /// Blocks whose versions can be kept track of, in 96 MiB; as much again is for buffers.
    private static let verifyBlocksMax: UInt64 = 12 << 20
    private static let verifyMemoryBytes: UInt64 = 96 << 20

    /// Reads all of the trace, then opens the directory.
    package init(_ options: ReplayOptions) throws(ReplayError) {
        self.options = options
        let plan = try ReplayPlan(trace: options.trace, rank: options.rank)
        self.plan = plan
        let wanted = options.threads ?? plan.sources.count
        lanes = max(1, min(wanted, plan.sources.count, Int(IOTRAP_REPLAY_LANES_MAX)))
        if options.verifies {
            let blocks = plan.contents.reduce(UInt64(0)) {
                $0 &+ $1.end / UInt64(plan.verifyBlock)
            }
            if blocks > Self.verifyBlocksMax {
                throw ReplayError(
                    "\(options.trace): has \(blocks) blocks of \(plan.verifyBlock) bytes, and "
                        + "--verify keeps track of \(Self.verifyBlocksMax); use a smaller trace")
            }
        }
        if options.verifies && plan.share?.rank.share == .thread {
            throw ReplayError(
                "--verify: a rank knows its own writes only, and --share thread lets several "
                    + "write a file; use --share file")
        }
        target = try ReplayTarget(path: options.target, isForced: options.isForced)
        if let share = plan.share {
            barrier = try RankBarrier(
                directory: options.results, rank: share.rank, digest: share.digest,
                withinSeconds: options.startWithinSeconds)
        }
    }

    /// Things that the user should know.
    package var warnings: [String] {
        var lines = target.warnings
        if let warning = plan.warning { lines.append(warning) }
        if plan.sources.count > lanes && options.threads == nil {
            lines.append("\(plan.sources.count) recorded threads share \(lanes) threads")
        }
        return lines
    }

    /// Whether a signal asked for the end.
    package var isInterrupted: Bool { iotrap_replay_signal_flag().pointee != 0 }

    /// Prepares the files, replays, and checks. Nil if a signal came before the first request.
    package func run(_ progress: (Progress) -> Void) throws(ReplayError) -> ReplayRun? {
        let number: UInt32? = options.verifies ? UInt32.random(in: 1...UInt32.max) : nil
        iotrap_replay_catch_signals(nil)
        let isReady = try target.prepare(plan, verifyRun: number) { progress(.preparing($0, $1)) }
        if !isReady { return nil }
        let session = try makeSession(run: number)
        var source = try EventSource.open(plan)
        var feeder = ReplayFeeder(plan, options, lanes: lanes)
        if let barrier, try !barrier.wait() { return nil }
        try session.start(engine: options.engine)
        let idle = { progress(.running(session.completed, self.plan.eventCount)) }
        let isWhole = try feeder.feed(session, &source, idle: idle)
        session.finish(idle: idle)
        // What the last check reads is no part of the processor time.
        let processor = session.processorTime()
        if options.verifies && isWhole {
            progress(.checking)
            try checkAll(session)
        }
        var run = ReplayRun(
            session, paths: plan.contents.map(\.path),
            pathOfFile: { self.plan.files[$0]?.path ?? "-" })
        run.processor = processor
        run.isPartial = !isWhole || session.isStopped
        run.skipped = feeder.skippedCount
        run.passed = feeder.passedCount
        run.foreign = feeder.foreign
        try refuseFailure(session)
        return run
    }

    private func makeSession(run: UInt32?) throws(ReplayError) -> ReplaySession {
        var settings = iotrap_replay_options()
        settings.engine = options.engine.number
        settings.lanes = UInt32(lanes)
        settings.slots = slots
        settings.files = UInt32(plan.files.count)
        settings.contents = UInt32(plan.contents.count)
        settings.length_max = plan.lengthMax
        settings.is_timed = options.pace == .asap ? 0 : 1
        if let run {
            settings.verify_block = plan.verifyBlock
            settings.run = run
            settings.memory_bytes = Self.verifyMemoryBytes
        }
        let session = try ReplaySession(settings)
        for index in plan.files.indices {
            iotrap_replay_set_file(
                session.pointer, UInt32(index), target.descriptor(of: index),
                UInt32(plan.contentOfFile[index]))
        }
        if run == nil { return session }
        let block = UInt64(plan.verifyBlock)
        for (index, content) in plan.contents.enumerated() {
            let error = iotrap_replay_set_content(
                session.pointer, UInt32(index), content.end / block, content.preparedBytes / block)
            if error != 0 { throw ReplayError("no memory for --verify; use a smaller trace") }
        }
        return session
    }

    /// Requests in flight in one lane, at most.
    private var slots: UInt32 {
        let limit = IOTRAP_REPLAY_SLOTS_MAX
        let sources = UInt32((plan.sources.count + lanes - 1) / lanes)
        // At the recorded pace storage may be slower than it was, and depth larger.
        let isTimed = options.pace != .asap && plan.depthMax > 1
        if plan.hasUnknownDepth || isTimed { return lanes > 32 ? limit / 4 : limit }
        return max(
            1, min(limit, plan.depthMax.multipliedReportingOverflow(by: sources).partialValue))
    }

    private func checkAll(_ session: ReplaySession) throws(ReplayError) {
        var isChecked = [Bool](repeating: false, count: plan.contents.count)
        for index in plan.files.indices where target.descriptor(of: index) >= 0 {
            let content = plan.contentOfFile[index]
            if isChecked[content] { continue }
            isChecked[content] = true
            let error = target.withReader(plan.contents[content].path) { descriptor in
                iotrap_replay_check_content(session.pointer, descriptor, UInt32(content))
            }
            if error != 0 {
                throw .system(
                    plan.contents[content].path, "pread", -error,
                    remedy: "the storage cannot read back what was written")
            }
        }
    }

    private func refuseFailure(_ session: ReplaySession) throws(ReplayError) {
        var results = iotrap_replay_results()
        iotrap_replay_collect(session.pointer, &results)
        if results.failure == 0 { return }
        throw ReplayError(
            "engine \(options.engine.rawValue) failed: "
                + "\(ReplayError.text(of: -results.failure)); try another --engine")
    }
}
