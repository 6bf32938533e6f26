import CIOTrap

/// The counters of one asynchronous interface: `struct iotrap_stats_async` and the latency of its
/// requests.
public struct AsyncTotals: Equatable, Sendable {
    /// Calls that submit: io_submit, aio_read and its kin, lio_listio.
    public var submitCalls: UInt64 = 0
    /// Requests accepted.
    public var submitted: UInt64 = 0
    /// Time inside the calls that submit; a timed call stands for several.
    public var submitNanoseconds: UInt64 = 0
    /// Calls that collect what has ended: io_getevents, aio_suspend.
    public var reapCalls: UInt64 = 0
    /// Requests whose end the program was told of.
    public var reaped: UInt64 = 0
    /// Of these, those that took no system call.
    public var reapedInUser: UInt64 = 0
    /// From submission to completion, over `flightRequests`.
    public var flightNanoseconds: UInt64 = 0
    /// Requests that `flightNanoseconds` is the sum of.
    public var flightRequests: UInt64 = 0
    /// Requests that the program cancelled.
    public var cancelled: UInt64 = 0
    /// Requests that ended with an error, cancelled ones left out.
    public var errors: UInt64 = 0
    /// Bytes moved.
    public var bytes: UInt64 = 0
    /// Requests by who ran them, by `AsyncRoute.rawValue`.
    public var routes = [UInt64](repeating: 0, count: AsyncRoute.allCases.count)
    /// Submissions by how many requests were in flight after them; see `depths(ofBucket:)`.
    public var depths = [UInt64](repeating: 0, count: Self.depthBucketCount)
    /// From submission to completion, request by request.
    public var flight = Histogram()

    /// Counters of nothing.
    public init() {}
}

extension AsyncTotals {
    /// Number of depth buckets in a segment of this version.
    public static let depthBucketCount = Int(IOTRAP_STATS_DEPTHS)

    /// The depths that a bucket stands for: 0, 1, 2 to 3, 4 to 7 and so on; the last is open.
    public static func depths(ofBucket index: Int) -> ClosedRange<UInt64> {
        if index == 0 { return 0...0 }
        let lower = UInt64(1) << UInt64(index - 1)
        return lower...(index == depthBucketCount - 1 ? .max : lower * 2 - 1)
    }

    /// True when the program used the interface at all.
    public var isUsed: Bool { submitCalls > 0 || submitted > 0 || reapCalls > 0 }

    /// Requests that one route ran.
    public subscript(route: AsyncRoute) -> UInt64 { routes[route.rawValue] }

    /// Requests a submitting call, nil without calls.
    public var requestsPerSubmit: Double? { Self.quotient(submitted, submitCalls) }

    /// Requests a collecting call, nil without calls.
    public var requestsPerReap: Double? { Self.quotient(reaped, reapCalls) }

    /// Mean nanoseconds that the program spends to submit one request.
    public var submitNanosecondsPerRequest: Double? { Self.quotient(submitNanoseconds, submitted) }

    /// Mean nanoseconds that a request is in flight.
    public var flightNanosecondsPerRequest: Double? {
        Self.quotient(flightNanoseconds, flightRequests)
    }

    /// What part of a request's life the program spends inside the submitting call: near 0 the
    /// request runs beside the program, near 1 the program waits for it. Nil until known.
    public var triggerRatio: Double? {
        guard let submit = submitNanosecondsPerRequest, let flight = flightNanosecondsPerRequest,
            flight > 0
        else { return nil }
        return submit / flight
    }

    /// The bucket of the nearest-rank percentile of the in-flight depth, nil without submissions.
    public func depthBucket(partsPerMillion: UInt64) -> Int? {
        let total = depths.reduce(0, saturatingSum)
        if total == 0 { return nil }
        let rank = max(1, (Double(total) * Double(partsPerMillion) / 1e6).rounded(.up))
        var seen: UInt64 = 0
        for (index, submissions) in depths.enumerated() where submissions > 0 {
            seen = saturatingSum(seen, submissions)
            if Double(seen) >= rank && partsPerMillion < 1_000_000 { return index }
        }
        return depths.lastIndex { $0 > 0 }
    }

    /// Adds the numbers of another process.
    mutating func add(_ other: AsyncTotals) {
        submitCalls = saturatingSum(submitCalls, other.submitCalls)
        submitted = saturatingSum(submitted, other.submitted)
        submitNanoseconds = saturatingSum(submitNanoseconds, other.submitNanoseconds)
        reapCalls = saturatingSum(reapCalls, other.reapCalls)
        reaped = saturatingSum(reaped, other.reaped)
        reapedInUser = saturatingSum(reapedInUser, other.reapedInUser)
        flightNanoseconds = saturatingSum(flightNanoseconds, other.flightNanoseconds)
        flightRequests = saturatingSum(flightRequests, other.flightRequests)
        cancelled = saturatingSum(cancelled, other.cancelled)
        errors = saturatingSum(errors, other.errors)
        bytes = saturatingSum(bytes, other.bytes)
        for index in routes.indices {
            routes[index] = saturatingSum(routes[index], other.routes[index])
        }
        for index in depths.indices {
            depths[index] = saturatingSum(depths[index], other.depths[index])
        }
        flight.merge(other.flight)
    }

    private static func quotient(_ part: UInt64, _ whole: UInt64) -> Double? {
        whole == 0 ? nil : Double(part) / Double(whole)
    }
}
