extension Report {
    /// The snapshot as one JSON object, with every operation, technique, asynchronous interface
    /// and reason, and each path of the mount pools, ended by a newline. Times are nanoseconds,
    /// and the names say so.
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
                "asynchronous",
                .object(
                    AsyncInterface.allCases.map { ($0.name, json(snapshot[interface: $0])) })
            ),
            ("mount_pool_paths", .array(snapshot.paths.map(json))),
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

    private static func json(_ totals: AsyncTotals) -> JSON {
        .object([
            ("submit_calls", .unsigned(totals.submitCalls)),
            ("submitted_requests", .unsigned(totals.submitted)),
            ("requests_per_submit_mean", totals.requestsPerSubmit.map(JSON.number) ?? .null),
            ("submit_ns", .unsigned(totals.submitNanoseconds)),
            ("reap_calls", .unsigned(totals.reapCalls)),
            ("reaped_requests", .unsigned(totals.reaped)),
            ("requests_per_reap_mean", totals.requestsPerReap.map(JSON.number) ?? .null),
            ("reaped_without_system_call_requests", .unsigned(totals.reapedInUser)),
            ("flight_requests", .unsigned(totals.flightRequests)),
            ("flight_ns", .unsigned(totals.flightNanoseconds)),
            ("trigger_ratio", totals.triggerRatio.map(JSON.number) ?? .null),
            ("cancelled_requests", .unsigned(totals.cancelled)),
            ("failed_requests", .unsigned(totals.errors)),
            ("bytes", .unsigned(totals.bytes)),
            (
                "requests_by_route",
                .object(AsyncRoute.allCases.map { ($0.name, .unsigned(totals[$0])) })
            ),
            ("submissions_by_depth", .array(totals.depths.indices.map { depth(totals, $0) })),
            ("latency", json(totals.flight)),
        ])
    }

    private static func json(_ path: PathTotals) -> JSON {
        .object([
            ("pool", .string(path.pool)),
            ("path", .string(path.path)),
            ("state", .string(path.state.name)),
            ("files", .unsigned(path.files)),
            ("requests", .unsigned(path.requests)),
            ("read_bytes", .unsigned(path.readBytes)),
            ("write_bytes", .unsigned(path.writeBytes)),
            ("syncs", .unsigned(path.syncs)),
            ("errors", .unsigned(path.errors)),
            ("reissued", .unsigned(path.reissued)),
            ("ejections", .unsigned(path.ejections)),
            ("returns", .unsigned(path.returns)),
            ("hedges", .unsigned(path.hedges)),
            ("hedges_won", .unsigned(path.hedgesWon)),
            ("in_flight_bytes", .unsigned(path.inFlightBytes)),
            ("window_bytes", .optional(path.windowBytes == 0 ? nil : path.windowBytes)),
            (
                "rate_bytes_per_second",
                .optional(path.rateBytes == 0 ? nil : path.rateBytes)
            ),
            (
                "smoothed_latency_ns",
                .optional(path.latencyNanoseconds == 0 ? nil : path.latencyNanoseconds)
            ),
            ("latency", json(path.latency)),
        ])
    }

    /// One bucket of the in-flight depth; the last has no upper bound.
    private static func depth(_ totals: AsyncTotals, _ bucket: Int) -> JSON {
        let depths = AsyncTotals.depths(ofBucket: bucket)
        return .object([
            ("depth_min", .unsigned(depths.lowerBound)),
            ("depth_max", .optional(depths.upperBound == .max ? nil : depths.upperBound)),
            ("submissions", .unsigned(totals.depths[bucket])),
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
