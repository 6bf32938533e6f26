extension Report {
    /// The snapshot as one JSON object, with every operation, technique and reason, ended by a
    /// newline. Times are nanoseconds, and the names say so.
    public static func json(_ snapshot: Snapshot, state: ProcessState) -> String {
        let header = snapshot.header
        return JSON.object([
            ("program", .string(header.program)),
            ("pid", .unsigned(UInt64(header.processID))),
            ("processes", .unsigned(UInt64(snapshot.processCount))),
            ("state", .string(state.name)),
            ("started_realtime_ns", .unsigned(header.startedRealtimeNanoseconds)),
            ("age_ns", .unsigned(header.ageNanoseconds)),
            ("mode", .string(header.mode.name)),
            (
                "ring",
                .object([
                    ("state", .string(header.ring.name)),
                    ("errno", .unsigned(UInt64(header.ringErrno))),
                ])
            ),
            ("threads_uncounted", .unsigned(header.threadsUncounted)),
            ("calls", .unsigned(snapshot.calls)),
            ("accelerated", .unsigned(snapshot.accelerated)),
            ("passed", .unsigned(snapshot.passed)),
            ("operations", .object(Operation.allCases.map { ($0.name, json(snapshot[$0])) })),
            (
                "techniques",
                .object(
                    Technique.allCases.map {
                        ($0.name, json(snapshot[$0], setting: header.settings[$0.rawValue]))
                    })
            ),
            (
                "passed_by_reason",
                .object(Reason.allCases.map { ($0.name, .unsigned(snapshot[$0])) })
            ),
        ]).text() + "\n"
    }

    private static func json(_ totals: OperationTotals) -> JSON {
        .object([
            ("calls", .unsigned(totals.calls)),
            ("accelerated", .unsigned(totals.accelerated)),
            ("bytes", .unsigned(totals.bytes)),
            ("errors", .unsigned(totals.errors)),
            ("latency", json(totals.latency)),
        ])
    }

    private static func json(_ totals: TechniqueTotals, setting: Setting) -> JSON {
        .object([
            ("setting", .string(setting.name)),
            ("calls", .unsigned(totals.calls)),
            ("bytes", .unsigned(totals.bytes)),
            ("requests", .unsigned(totals.requests)),
            ("batches", .unsigned(totals.batches)),
            ("depth_mean", totals.meanDepth.map(JSON.number) ?? .null),
            ("trials", .unsigned(totals.trials)),
            ("engaged", .unsigned(totals.engaged)),
            ("dropped", .unsigned(totals.dropped)),
            ("errors", .unsigned(totals.errors)),
            ("latency", json(totals.latency)),
        ])
    }

    private static func json(_ latency: Histogram) -> JSON {
        .object([
            ("count", .unsigned(latency.count)),
            ("mean_ns", latency.meanNanoseconds.map(JSON.number) ?? .null),
            ("p50_ns", .optional(latency.p50)),
            ("p99_ns", .optional(latency.p99)),
            ("p999_ns", .optional(latency.p999)),
            ("max_ns", .unsigned(latency.maxNanoseconds)),
        ])
    }
}
