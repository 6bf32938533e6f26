import CIOReplay
import IOTrapStats

/// What one run of a replay measured.
package struct ReplayRun: Sendable {
    /// Reads or writes of a range of sizes, or syncs, or the rest.
    package struct Class: Sendable {
        /// "read", "write", "sync" or "other".
        package let operation: String
        /// Upper end of the sizes, such as "4K"; empty where there are none.
        package let size: String
        /// Requests.
        package var count: UInt64 = 0
        /// Bytes moved.
        package var bytes: UInt64 = 0
        /// Requests that failed.
        package var errors: UInt64 = 0
        /// Requests that moved less than was asked for.
        package var shorts: UInt64 = 0
        /// From submission to completion.
        package var latency = Histogram()
    }

    /// A block that is not as it must be.
    package struct Fault: Sendable, Equatable {
        /// "lost", "stale", "torn", "misplaced" or "corrupt".
        package let kind: String
        /// The path below the target.
        package let path: String
        /// Bytes from the start of the file.
        package let offset: UInt64
        /// The version that must be there; 0: as prepared.
        package let expected: UInt32
        /// The version that is there; nil: none.
        package let found: UInt32?
        /// Of a torn block, the version of its end.
        package let second: UInt32?
        /// Of a misplaced block, where it belongs.
        package let origin: String?
    }

    /// What a rank cannot keep because other ranks replay it.
    package struct Foreign: Sendable, Equatable {
        /// Dependencies on their events.
        package var dependencies: UInt64 = 0
        /// Syncs of files that they write as well, which wait for this rank's own writes.
        package var syncs: UInt64 = 0
    }

    /// Classes with at least one request.
    package var classes: [Class] = []
    /// Whether it was interrupted.
    package var isPartial = false
    /// When it began, in nanoseconds since 1970.
    package var startedRealtimeNanoseconds: UInt64 = 0
    /// From the first request to the end of the last.
    package var elapsedNanoseconds: UInt64 = 0
    /// Inside submitting calls.
    package var submitNanoseconds: UInt64 = 0
    /// Sum over all requests of the time from submission to completion.
    package var flightNanoseconds: UInt64 = 0
    /// Submitting calls.
    package var submissions: UInt64 = 0
    /// Requests of one thread in flight, at most.
    package var depthMax: UInt64 = 0
    /// Requests that went at their time, by which these were late, and the latest of them.
    package var drift = Histogram()
    /// Requests that had to wait beyond their time, for others or until a submitting call returned,
    /// and by how much the latest of them was late.
    package var held: (count: UInt64, maxNanoseconds: UInt64) = (0, 0)
    /// Processor seconds.
    package var processor: (user: Double, system: Double) = (0, 0)
    /// Events that failed when they were recorded, left out.
    package var skipped: UInt64 = 0
    /// Events that say that a file was opened or closed, which are passed over.
    package var passed: UInt64 = 0
    /// Of a rank: what it did not keep.
    package var foreign = Foreign()
    /// Of several ranks: how many, and how far apart they began.
    package var ranks: (count: Int, startSpreadNanoseconds: UInt64)?
    /// Whether blocks were checked.
    package var isVerified = false
    /// Blocks that were checked, and read without being known.
    package var blocks: (checked: UInt64, unknown: UInt64) = (0, 0)
    /// Times that memory for verification was short.
    package var memoryWaits: UInt64 = 0
    /// Blocks that were wrong.
    package var faultCount: UInt64 = 0
    /// The first of them.
    package var faults: [Fault] = []
    /// The first request that failed; nil if none did.
    package var firstError: String?

    /// A run of nothing.
    package init() {}

    /// All classes of an operation in one; nil if it has no requests.
    package func sum(of operation: String) -> Class? {
        var sum = Class(operation: operation, size: "")
        for item in classes where item.operation == operation {
            sum.count += item.count
            sum.bytes += item.bytes
            sum.errors += item.errors
            sum.shorts += item.shorts
            sum.latency.merge(item.latency)
        }
        return sum.count == 0 ? nil : sum
    }

    /// Requests that are I/O: reads, writes and syncs.
    package var requests: UInt64 {
        classes.reduce(0) { $1.operation == "other" ? $0 : $0 + $1.count }
    }
    /// Bytes moved.
    package var bytes: UInt64 { classes.reduce(0) { $0 + $1.bytes } }
    /// Requests that failed.
    package var errors: UInt64 { classes.reduce(0) { $0 + $1.errors } }
    /// Seconds from the first request to the end of the last.
    package var seconds: Double { max(Double(elapsedNanoseconds), 1) / 1e9 }
    /// MiB a second.
    package var mebibytesPerSecond: Double { Double(bytes) / 1_048_576 / seconds }
    /// Requests a second.
    package var requestsPerSecond: Double { Double(requests) / seconds }
    /// Time inside submitting calls, divided by the time of the I/O.
    package var triggerRatio: Double {
        flightNanoseconds == 0 ? 0 : Double(submitNanoseconds) / Double(flightNanoseconds)
    }
    /// Requests in flight, on average over the time.
    package var depthMean: Double { Double(flightNanoseconds) / max(Double(elapsedNanoseconds), 1) }
}

extension ReplayRun {
    /// Upper ends of the sizes, as in the C part.
    static let sizes = ["4K", "16K", "64K", "256K", "1M", "4M", "16M", "64M", "above"]
    private static let kinds = ["", "lost", "stale", "torn", "misplaced", "corrupt"]

    /// What a session counted, once it has ended.
    init(_ session: ReplaySession, paths: [String], pathOfFile: (Int) -> String) {
        var results = iotrap_replay_results()
        iotrap_replay_collect(session.pointer, &results)
        let numbers = withUnsafeBytes(of: results.classes) {
            Array($0.bindMemory(to: iotrap_replay_class.self))
        }
        for (index, numbers) in numbers.enumerated() where numbers.count > 0 {
            classes.append(Self.makeClass(session, index, numbers))
        }
        startedRealtimeNanoseconds = session.startedRealtimeNanoseconds
        elapsedNanoseconds = results.elapsed_ns
        submitNanoseconds = results.submit_ns
        flightNanoseconds = results.flight_ns
        submissions = results.submissions
        depthMax = results.in_flight_max
        held = (results.held, results.held_ns_max)
        drift = Self.histogram(iotrap_replay_drift_buckets(session.pointer))
        drift.count = results.timed
        drift.sumNanoseconds = results.drift_ns
        drift.maxNanoseconds = results.drift_ns_max
        isVerified = session.options.verify_block > 0
        blocks = (results.blocks_checked, results.blocks_unknown)
        memoryWaits = results.memory_waits
        faultCount = results.faults
        for index in 0..<results.faults_kept {
            let fault = iotrap_replay_fault_at(session.pointer, index)!.pointee
            faults.append(Self.makeFault(fault, paths))
        }
        if results.first_error != 0 {
            firstError =
                "\(pathOfFile(Int(results.first_error_file))) at offset "
                + "\(results.first_error_offset): \(ReplayError.text(of: -results.first_error))"
        }
        processor = session.processorTime()
    }

    private static func makeClass(
        _ session: ReplaySession, _ index: Int, _ numbers: iotrap_replay_class
    ) -> Class {
        let sizeCount = Int(IOTRAP_REPLAY_SIZES)
        var item: Class
        switch index {
        case 0..<sizeCount: item = Class(operation: "read", size: sizes[index])
        case sizeCount..<(2 * sizeCount):
            item = Class(operation: "write", size: sizes[index - sizeCount])
        case 2 * sizeCount: item = Class(operation: "sync", size: "")
        default: item = Class(operation: "other", size: "")
        }
        item.count = numbers.count
        item.bytes = numbers.bytes
        item.errors = numbers.errors
        item.shorts = numbers.shorts
        item.latency = histogram(iotrap_replay_buckets(session.pointer, UInt32(index)))
        item.latency.count = numbers.count
        item.latency.sumNanoseconds = numbers.latency_ns
        item.latency.maxNanoseconds = numbers.latency_ns_max
        return item
    }

    private static func histogram(_ buckets: UnsafePointer<UInt64>?) -> Histogram {
        var histogram = Histogram()
        guard let buckets else { return histogram }
        for index in 0..<Histogram.bucketCount where buckets[index] > 0 {
            histogram.add(buckets[index], toBucket: index)
        }
        return histogram
    }

    private static func makeFault(_ fault: iotrap_replay_fault, _ paths: [String]) -> Fault {
        func version(_ number: UInt32) -> UInt32? {
            number == IOTRAP_REPLAY_VERSION_UNKNOWN ? nil : number
        }
        let kind = kinds[Int(fault.kind)]
        let origin = Int(fault.found_content)
        return Fault(
            kind: kind, path: paths[Int(fault.content)], offset: fault.offset,
            expected: fault.expected, found: version(fault.found),
            second: version(fault.second),
            origin: kind == "misplaced" && origin < paths.count
                ? "\(paths[origin]) at \(fault.found_offset)" : nil)
    }
}
