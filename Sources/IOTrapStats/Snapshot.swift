import CIOTrap

/// The counters of one operation: `struct iotrap_stats_operation` and its latency.
public struct OperationTotals: Equatable, Sendable {
    /// Calls the program made.
    public var calls: UInt64 = 0
    /// Bytes transferred.
    public var bytes: UInt64 = 0
    /// Calls that failed.
    public var errors: UInt64 = 0
    /// Calls that a technique served.
    public var accelerated: UInt64 = 0
    /// Latency as the program saw it; fast calls are sampled and weighted.
    public var latency = Histogram()
}

/// The counters of one technique: `struct iotrap_stats_technique` and its latency.
public struct TechniqueTotals: Equatable, Sendable {
    /// Program calls served.
    public var calls: UInt64 = 0
    /// Bytes transferred.
    public var bytes: UInt64 = 0
    /// Ring entries, or syncs asked for.
    public var requests: UInt64 = 0
    /// Submissions, or real syncs done.
    public var batches: UInt64 = 0
    /// Calls served as part of a live comparison.
    public var trials: UInt64 = 0
    /// Times a comparison switched the technique on.
    public var engaged: UInt64 = 0
    /// Times a comparison switched it off again.
    public var dropped: UInt64 = 0
    /// Calls that failed.
    public var errors: UInt64 = 0
    /// Latency of the calls served.
    public var latency = Histogram()

    /// True when the technique served a call or was tried.
    public var isUsed: Bool { calls > 0 || trials > 0 }

    /// Requests per batch, nil without batches.
    public var meanDepth: Double? {
        batches == 0 ? nil : Double(requests) / Double(batches)
    }
}

/// All numbers of one segment, summed over its threads.
public struct Snapshot: Equatable, Sendable {
    /// The process; after `merge` the first one, but for what became of io_uring.
    public var header: SegmentHeader
    /// Processes summed up.
    public var processCount = 1
    /// By `Operation.rawValue`.
    public var operations: [OperationTotals]
    /// By `Technique.rawValue`.
    public var techniques: [TechniqueTotals]
    /// Calls that went straight to the kernel, by `Reason.rawValue`.
    public var reasons: [UInt64]
    /// Asynchronous I/O, by `AsyncInterface.rawValue`.
    public var interfaces: [AsyncTotals]
    /// Paths of the mount pools, those of a pool one after the other.
    public var paths: [PathTotals] = []

    /// A snapshot without any calls.
    public init(header: SegmentHeader) {
        self.header = header
        operations = [OperationTotals](repeating: .init(), count: Operation.allCases.count)
        techniques = [TechniqueTotals](repeating: .init(), count: Technique.allCases.count)
        reasons = [UInt64](repeating: 0, count: Reason.allCases.count)
        interfaces = [AsyncTotals](repeating: .init(), count: AsyncInterface.allCases.count)
    }

    /// The counters of one operation.
    public subscript(operation: Operation) -> OperationTotals { operations[operation.rawValue] }
    /// The counters of one technique.
    public subscript(technique: Technique) -> TechniqueTotals { techniques[technique.rawValue] }
    /// Calls that went straight to the kernel for one reason.
    public subscript(reason: Reason) -> UInt64 { reasons[reason.rawValue] }
    /// The counters of one asynchronous interface.
    public subscript(interface interface: AsyncInterface) -> AsyncTotals {
        interfaces[interface.rawValue]
    }

    /// Calls of all operations.
    public var calls: UInt64 { operations.reduce(0) { saturatingSum($0, $1.calls) } }
    /// Calls that techniques served, over all operations.
    public var accelerated: UInt64 { operations.reduce(0) { saturatingSum($0, $1.accelerated) } }
    /// Calls that went straight to the kernel, over all reasons.
    public var passed: UInt64 { reasons.reduce(0, saturatingSum) }

    /// Adds the numbers of another process; the header stays. One process that uses io_uring, or is
    /// refused it, says more than one that had no need of it.
    public mutating func merge(_ other: Snapshot) {
        processCount += other.processCount
        if other.header.ring.rawValue > header.ring.rawValue {
            header.ring = other.header.ring
            header.ringErrno = other.header.ringErrno
        }
        header.threadsUncounted = saturatingSum(
            header.threadsUncounted, other.header.threadsUncounted)
        for index in operations.indices {
            operations[index].add(other.operations[index])
        }
        for index in techniques.indices {
            techniques[index].add(other.techniques[index])
        }
        for index in reasons.indices {
            reasons[index] = saturatingSum(reasons[index], other.reasons[index])
        }
        for index in interfaces.indices {
            interfaces[index].add(other.interfaces[index])
        }
        for path in other.paths {
            if let known = paths.firstIndex(where: { $0.isSamePath(as: path) }) {
                paths[known].add(path)
            } else {
                paths.append(path)
            }
        }
    }
}

extension OperationTotals {
    fileprivate mutating func add(_ other: OperationTotals) {
        calls = saturatingSum(calls, other.calls)
        bytes = saturatingSum(bytes, other.bytes)
        errors = saturatingSum(errors, other.errors)
        accelerated = saturatingSum(accelerated, other.accelerated)
        if other.latency.maxNanoseconds > 0 || other.latency.count > 0 {
            latency.merge(other.latency)
        }
    }
}

extension TechniqueTotals {
    fileprivate mutating func add(_ other: TechniqueTotals) {
        calls = saturatingSum(calls, other.calls)
        bytes = saturatingSum(bytes, other.bytes)
        requests = saturatingSum(requests, other.requests)
        batches = saturatingSum(batches, other.batches)
        trials = saturatingSum(trials, other.trials)
        engaged = saturatingSum(engaged, other.engaged)
        dropped = saturatingSum(dropped, other.dropped)
        errors = saturatingSum(errors, other.errors)
        if other.latency.maxNanoseconds > 0 || other.latency.count > 0 {
            latency.merge(other.latency)
        }
    }
}
