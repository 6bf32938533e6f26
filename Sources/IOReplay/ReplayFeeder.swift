import CIOReplay
import CIOTrap
import IOTrace

/// Turns the events of a trace into requests of a session.
struct ReplayFeeder {
    private let plan: ReplayPlan
    private let options: ReplayOptions
    private let lanes: Int
    private var history: StreamHistory
    private var depths: RecordedDepth
    /// Sequence number plus 1 of the last write to each content; 0: none.
    private var lastWrites: [UInt64]
    /// The first file that is there; nil: none is.
    private let anyFile: UInt32?

    /// Events that failed when they were recorded, which are left out.
    private(set) var skippedCount: UInt64 = 0
    /// Opens and closes, which are passed over: files stay open.
    private(set) var passedCount: UInt64 = 0
    /// What is not kept because other ranks replay it.
    private(set) var foreign = ReplayRun.Foreign()

    /// Time from the start of the lanes to the first request.
    private static let leadNanoseconds = 2_000_000.0

    init(_ plan: ReplayPlan, _ options: ReplayOptions, lanes: Int) {
        self.plan = plan
        self.options = options
        self.lanes = lanes
        depths = RecordedDepth(sources: plan.sources.count)
        lastWrites = [UInt64](repeating: 0, count: plan.contents.count)
        history = StreamHistory(isSorted: !plan.isOrdered)
        anyFile = plan.files.firstIndex { $0 != nil }.map(UInt32.init)
    }

    /// Pushes all events. Returns false if the session was stopped before the last.
    mutating func feed(
        _ session: ReplaySession, _ source: inout EventSource, idle: () -> Void
    ) throws(ReplayError) -> Bool {
        // A trace that is still written has more events than were planned for.
        var left = plan.readCount
        while left > 0, let event = try source.nextEvent() {
            left -= 1
            if let share = plan.share, !share.isOwn(event, history) { continue }
            var request = request(event)
            if !session.push(&request, idle: idle) { return false }
        }
        return true
    }

    private mutating func request(_ event: TraceEvent) -> iotrap_replay_request {
        let source = Int(plan.sources[event.thread] ?? 0)
        var request = iotrap_replay_request()
        request.source = UInt16(source)
        request.lane = UInt8(source % lanes)
        request.operation = event.operation.rawValue
        request.offset = event.offset
        request.length = UInt32(min(event.length, UInt64(IOTRAP_REPLAY_LENGTH_MAX)))
        request.batch = event.batch
        request.flags = event.flags
        request.depth = depth(event, source)
        request.due_ns = due(event)
        setFile(event, &request)
        request.after = distance(event.after, event)
        request.after2 = distance(event.after2, event)
        history.append(event)
        return request
    }

    /// How far back in the replay the event is that another one depends on; 0: it need not wait.
    private mutating func distance(_ distance: UInt32, _ event: TraceEvent) -> UInt32 {
        if distance == 0 { return 0 }
        switch history.find(distance, before: event) {
        case .complete: return 0
        case .back(let distance): return distance
        case .foreign:
            foreign.dependencies += 1
            return 0
        }
    }

    private mutating func setFile(_ event: TraceEvent, _ request: inout iotrap_replay_request) {
        let isOfNoFile = event.file == TraceEvent.noFile
        if isOfNoFile && event.operation == .sync {
            // The file system of the target, and no other one.
            request.file = anyFile ?? 0
            if anyFile == nil { request.operation = TraceOperation.commit.rawValue }
        } else if isOfNoFile || event.isError {
            if event.isError { skippedCount += 1 }
            request.operation = TraceOperation.commit.rawValue
        } else if event.operation == .open || event.operation == .close {
            passedCount += 1
            request.operation = TraceOperation.commit.rawValue
        } else {
            request.file = event.file
        }
        if isOfNoFile { return }
        let content = plan.contentOfFile[Int(event.file)]
        let before = lastWrites[content]
        let sequence = history.sequence
        let distance = before == 0 ? 0 : UInt32(clamping: sequence + 1 - before)
        if event.isAfterFile {
            request.after_write = distance
            if plan.isWrittenByOthers[content] { foreign.syncs += 1 }
        }
        if request.operation == TraceOperation.write.rawValue {
            request.write_before = distance
            lastWrites[content] = sequence + 1
        }
    }

    private mutating func depth(_ event: TraceEvent, _ source: Int) -> UInt32 {
        let limit = UInt32(IOTRAP_REPLAY_SLOTS_MAX)
        if ReplayDepth.isSynchronous(event.call) { return 1 }
        // At the recorded pace time decides, not depth.
        guard options.pace == .asap else { return 0 }
        if event.operation == .commit { return 0 }
        let depth = event.depth > 0 ? event.depth : depths.submit(event, source: source)
        return min(depth, limit)
    }

    private func due(_ event: TraceEvent) -> UInt64 {
        guard case .recorded(let speed) = options.pace else { return 0 }
        let nanoseconds = Double(event.submitNanoseconds - plan.firstNanoseconds) / speed
        return UInt64(nanoseconds + Self.leadNanoseconds)
    }
}
