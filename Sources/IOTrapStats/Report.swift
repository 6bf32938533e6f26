/// A snapshot as text for a terminal of 100 columns; paths of mount pools take 120.
public struct Report {
    /// The width of a line.
    static let columns = 100

    let snapshot: Snapshot
    private let state: ProcessState

    /// A report of a snapshot whose process is in the given state.
    public init(_ snapshot: Snapshot, state: ProcessState) {
        self.snapshot = snapshot
        self.state = state
    }

    /// The report, every line ended by a newline.
    public var text: String {
        var lines = headLines
        if snapshot.calls > 0 { lines += [""] + operationLines }
        if snapshot.techniques.contains(where: \.isUsed) { lines += [""] + techniqueLines }
        if !snapshot.paths.isEmpty { lines += [""] + pathLines }
        for interface in AsyncInterface.allCases where snapshot[interface: interface].isUsed {
            lines += [""] + asyncLines(of: interface)
        }
        if snapshot.passed > 0 { lines += [""] + reasonLines }
        return lines.map { $0 + "\n" }.joined()
    }

    private var headLines: [String] {
        let header = snapshot.header
        let others = snapshot.processCount - 1
        var process = "pid \(header.processID)"
        if others > 0 { process += " and \(others) more process\(others == 1 ? "" : "es")" }
        process += "  \(stateText)"
        let settings = Technique.allCases.map {
            "\($0.name) \(header.settings[$0.rawValue].name)"
        }
        var lines = [
            "\(programText(columns: Self.columns - process.count - 2))  \(process)",
            "mode \(header.mode.name)  \(ringText)",
        ]
        lines += wrapped("techniques: ", settings)
        if snapshot.calls == 0 {
            lines.append("no calls counted yet")
        } else {
            let share = Units.share(snapshot.accelerated, of: snapshot.calls)
            lines.append(
                "accelerated \(share) of \(Units.count(snapshot.calls)) calls "
                    + "(\(Units.count(snapshot.accelerated)))")
        }
        if header.threadsUncounted > 0 {
            lines.append(
                "not counted: the calls of \(Units.count(header.threadsUncounted)) threads "
                    + "beyond the segment's limit")
        }
        return lines
    }

    /// The program's path, cut at the front where it is too long for the line.
    private func programText(columns: Int) -> String {
        let text = printable(snapshot.header.program)
        return text.count <= columns ? text : "..." + text.suffix(max(0, columns - 3))
    }

    private var stateText: String {
        let span = Units.span(snapshot.header.ageNanoseconds)
        switch state {
        case .running: return "running for \(span)"
        case .ended: return "ended after \(span)"
        case .died: return "died without an orderly end, started \(span) ago"
        }
    }

    private var ringText: String {
        switch snapshot.header.ring {
        case .unused: return "io_uring not needed yet"
        case .working: return "io_uring working"
        case .refused:
            return "io_uring refused (\(errorText(snapshot.header.ringErrno)); see iotrap doctor)"
        }
    }

    private var operationLines: [String] {
        var table = Table([
            "OPERATION", "CALLS", "ACCELERATED", "BYTES", "ERRORS", "P50", "P99", "P99.9", "MAX",
        ])
        for operation in Operation.allCases where snapshot[operation].calls > 0 {
            let totals = snapshot[operation]
            let latency = totals.latency
            table.append([
                operation.name, Units.count(totals.calls),
                Units.share(totals.accelerated, of: totals.calls), Units.bytes(totals.bytes),
                Units.count(totals.errors), latencyText(latency.p50), latencyText(latency.p99),
                latencyText(latency.p999),
                latencyText(latency.p50 == nil ? nil : latency.maxNanoseconds),
            ])
        }
        return table.lines
    }

    private var techniqueLines: [String] {
        var table = Table([
            "TECHNIQUE", "CALLS", "BYTES", "REQUESTS", "BATCHES", "DEPTH", "TRIALS", "ENGAGED",
            "DROPPED", "ERRORS",
        ])
        for technique in Technique.allCases where snapshot[technique].isUsed {
            let totals = snapshot[technique]
            table.append([
                technique.name, Units.count(totals.calls), Units.bytes(totals.bytes),
                Units.count(totals.requests), Units.count(totals.batches),
                totals.meanDepth.map(Units.ratio) ?? "-", Units.count(totals.trials),
                Units.count(totals.engaged), Units.count(totals.dropped),
                Units.count(totals.errors),
            ])
        }
        return table.lines
    }

    private var reasonLines: [String] {
        var table = Table(["PASSED THROUGH", "CALLS", "SHARE", "BECAUSE"], leftColumns: [0, 3])
        let reasons = Reason.allCases.filter { snapshot[$0] > 0 }
        for reason in reasons.sorted(by: { snapshot[$0] > snapshot[$1] }) {
            table.append([
                reason.name, Units.count(snapshot[reason]),
                Units.share(snapshot[reason], of: snapshot.passed), reason.explanation,
            ])
        }
        return table.lines
    }

    func latencyText(_ nanoseconds: UInt64?) -> String {
        nanoseconds.map(Units.latency) ?? "-"
    }
}
