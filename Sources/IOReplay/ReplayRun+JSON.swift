import IOTrapStats

extension Histogram {
    /// What is not empty, for JSON: where buckets begin, in nanoseconds, and what they hold.
    var bucketMembers: [(String, JSON)] {
        let full = buckets.indices.filter { buckets[$0] > 0 }
        return [
            ("sum", .unsigned(sumNanoseconds)),
            ("bucket_starts", .row(full.map { Histogram.bounds(ofBucket: $0).lower })),
            ("bucket_counts", .row(full.map { buckets[$0] })),
        ]
    }

    /// What `bucketMembers` made; nil if it is something else.
    init?(_ value: JSONReader.Value?, count: UInt64) {
        self.init()
        guard let value, let sum = value["sum"]?.unsigned, let most = value["max"]?.unsigned,
            let starts = value["bucket_starts"]?.array, let counts = value["bucket_counts"]?.array,
            starts.count == counts.count
        else { return nil }
        for (start, count) in zip(starts, counts) {
            guard let start = start.unsigned, let count = count.unsigned else { return nil }
            add(count, toBucket: Self.bucketIndex(of: start))
        }
        self.count = count
        sumNanoseconds = sum
        maxNanoseconds = most
    }
}

extension ReplayRun {
    /// A run as `json` wrote it; nil if something is missing.
    init?(_ value: JSONReader.Value) {
        func number(_ name: String) -> UInt64? { value[name]?.unsigned }
        guard case .boolean(let isPartial)? = value["partial"],
            let started = number("started_realtime_ns"), let submit = number("submit_ns"),
            let flight = number("flight_ns"), let elapsed = value["elapsed_seconds"]?.number,
            let submissions = number("submissions"), let depth = number("depth_max"),
            let skipped = number("events_skipped"), let list = value["classes"]?.array
        else { return nil }
        self.isPartial = isPartial
        startedRealtimeNanoseconds = started
        elapsedNanoseconds = UInt64(max(0, min(elapsed, 1e9)) * 1e9)
        submitNanoseconds = submit
        flightNanoseconds = flight
        self.submissions = submissions
        depthMax = depth
        self.skipped = skipped
        passed = number("opens_and_closes_passed") ?? 0
        processor.user = value["cpu_user_seconds"]?.number ?? 0
        processor.system = value["cpu_system_seconds"]?.number ?? 0
        foreign.dependencies = number("dependencies_not_kept") ?? 0
        foreign.syncs = number("syncs_of_shared_files") ?? 0
        firstError = value["first_error"]?.string
        guard readClasses(list), readDrift(value["drift_ns"]) else { return nil }
        if let verification = value["verification"] { readVerification(verification) }
    }

    private mutating func readClasses(_ list: [JSONReader.Value]) -> Bool {
        for item in list {
            guard let operation = item["operation"]?.string, let size = item["size"]?.string,
                let count = item["requests"]?.unsigned, let bytes = item["bytes"]?.unsigned,
                let errors = item["errors"]?.unsigned, let shorts = item["short"]?.unsigned
            else { return false }
            // Sums are made anew.
            if size == "all" && ["read", "write"].contains(operation) { continue }
            guard let latency = Histogram(item["latency_ns"], count: count) else { return false }
            var part = Class(operation: operation, size: size == "all" ? "" : size)
            part.count = count
            part.bytes = bytes
            part.errors = errors
            part.shorts = shorts
            part.latency = latency
            classes.append(part)
        }
        return true
    }

    private mutating func readDrift(_ value: JSONReader.Value?) -> Bool {
        guard let value, let requests = value["requests"]?.unsigned,
            let drift = Histogram(value, count: requests),
            let late = value["held_requests"]?.unsigned, let most = value["held_max"]?.unsigned
        else { return false }
        self.drift = drift
        held = (late, most)
        return true
    }

    private mutating func readVerification(_ value: JSONReader.Value) {
        isVerified = true
        blocks.checked = value["blocks_checked"]?.unsigned ?? 0
        blocks.unknown = value["blocks_unknown"]?.unsigned ?? 0
        faultCount = value["faults"]?.unsigned ?? 0
        for item in value["first_faults"]?.array ?? [] {
            func version(_ name: String) -> UInt32? {
                item[name]?.unsigned.flatMap { UInt32(exactly: $0) }
            }
            faults.append(
                Fault(
                    kind: item["kind"]?.string ?? "", path: item["path"]?.string ?? "",
                    offset: item["offset"]?.unsigned ?? 0,
                    expected: version("expected_version") ?? 0, found: version("found_version"),
                    second: version("second_version"), origin: item["belongs_to"]?.string))
        }
    }
}
