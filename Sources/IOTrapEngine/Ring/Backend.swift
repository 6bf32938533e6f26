import CIOTrap
import CIOTrapEngine

/// One request to the kernel.
struct IORequest {
    /// `enum iotrap_request_kind`
    var kind: UInt32
    var descriptor: Int32
    var address: UnsafeMutableRawPointer?
    /// Bytes; 0 for a sync.
    var length: UInt32
    var offset: Int64
}

/// A finished request.
struct IOCompletion {
    var tag: UInt32
    /// Bytes moved, 0 for a sync, or -errno.
    var result: Int32
}

/// Executes requests: on io_uring, with plain system calls, or with faults injected.
///
/// Used by one thread at a time. Requests may complete in any order.
protocol Backend {
    /// Queues a request; false when there is no room and completions must be taken first.
    mutating func enqueue(_ request: IORequest, tag: UInt32) -> Bool
    /// Submits what is queued and waits for at least one completion: submissions, or -errno.
    mutating func submitAndWait() -> Int32
    /// Takes one completion, if there is any.
    mutating func next() -> IOCompletion?
    /// Takes back what was queued and not submitted; their number.
    mutating func unqueue() -> UInt32
}

/// io_uring: the requests of one submission are in flight together.
struct RingBackend: Backend {
    let ring: OpaquePointer

    mutating func enqueue(_ request: IORequest, tag: UInt32) -> Bool {
        iotrap_ring_queue(
            ring, request.kind, request.descriptor, request.address, request.length,
            request.offset, UInt64(tag)) != 0
    }

    mutating func submitAndWait() -> Int32 { iotrap_ring_submit_and_wait(ring) }

    mutating func next() -> IOCompletion? {
        var tag: UInt64 = 0
        var result: Int32 = 0
        guard iotrap_ring_reap(ring, &tag, &result) != 0 else { return nil }
        return IOCompletion(tag: UInt32(truncatingIfNeeded: tag), result: result)
    }

    mutating func unqueue() -> UInt32 { iotrap_ring_unqueue(ring) }
}

/// Plain system calls, one after the other: the same results without a ring.
struct PlainBackend: Backend {
    private var done: InlineArray<64, IOCompletion>
    private var doneCount = 0
    private var submitted: Int32 = 0

    init() {
        done = InlineArray(repeating: IOCompletion(tag: 0, result: 0))
    }

    /// Executes one request on the spot.
    static func execute(_ request: IORequest) -> Int32 {
        let result: Int
        switch request.kind {
        case IOTRAP_REQUEST_READ.rawValue:
            result = iotrap_pread_raw(
                request.descriptor, request.address, Int(request.length), request.offset)
        case IOTRAP_REQUEST_WRITE.rawValue:
            result = iotrap_pwrite_raw(
                request.descriptor, request.address, Int(request.length), request.offset)
        case IOTRAP_REQUEST_FSYNC.rawValue:
            result = iotrap_fsync_raw(request.descriptor, 0)
        default:
            result = iotrap_fsync_raw(request.descriptor, 1)
        }
        return Int32(truncatingIfNeeded: result)
    }

    mutating func enqueue(_ request: IORequest, tag: UInt32) -> Bool {
        guard doneCount < 64 else { return false }
        done[doneCount] = IOCompletion(tag: tag, result: PlainBackend.execute(request))
        doneCount += 1
        submitted += 1
        return true
    }

    mutating func submitAndWait() -> Int32 {
        defer { submitted = 0 }
        return submitted
    }

    mutating func next() -> IOCompletion? {
        guard doneCount > 0 else { return nil }
        doneCount -= 1
        return done[doneCount]
    }

    mutating func unqueue() -> UInt32 { 0 }
}

/// Alters every n-th result of another backend, to test what happens when storage misbehaves.
struct FaultBackend<Inner: Backend>: Backend {
    private var inner: Inner
    private let rule: FaultRule
    /// Requests seen by the rule.
    private(set) var count: UInt32

    /// - Parameter count: requests already seen by the rule, so that it goes on over several calls.
    init(_ inner: Inner, rule: FaultRule, count: UInt32 = 0) {
        self.inner = inner
        self.rule = rule
        self.count = count
    }

    mutating func enqueue(_ request: IORequest, tag: UInt32) -> Bool {
        inner.enqueue(request, tag: tag)
    }

    mutating func submitAndWait() -> Int32 { inner.submitAndWait() }

    mutating func next() -> IOCompletion? {
        guard var completion = inner.next() else { return nil }
        count &+= 1
        guard rule.period > 0, count % rule.period == 0 else { return completion }
        if rule.error != 0 {
            completion.result = rule.error
        } else if completion.result > rule.shortBytes {
            completion.result = rule.shortBytes
        }
        return completion
    }

    mutating func unqueue() -> UInt32 { inner.unqueue() }
}
