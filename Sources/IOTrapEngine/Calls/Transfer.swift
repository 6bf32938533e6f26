import CIOTrap
import CIOTrapEngine

/// Runs the pieces of one call with several in flight, and joins their results as the kernel
/// would have answered the whole: the length of the contiguous prefix that succeeded, or an error
/// if nothing before it did.
struct Transfer {
    /// What became of a call.
    struct Outcome: Equatable {
        /// Bytes, or -errno.
        var result: Int64
        /// Requests given to the backend, and submissions that carried them.
        var requests: UInt64
        var batches: UInt64
        /// The backend broke down before anything was in flight: make the plain call.
        var isUnserved = false
        /// A piece was refused for its address, its alignment or want of space. What the whole call
        /// returns then (it may be that error, even after pieces that succeeded: file systems
        /// differ) is the kernel's to say.
        var isMisfit = false
    }

    private let kind: UInt32
    private let descriptor: Int32
    private let depth: Int
    /// Pieces in flight by tag; a tag is free when its length is 0.
    private var slots = InlineArray<64, Piece>(
        repeating: Piece(address: nil, length: 0, offset: 0, position: 0))
    private var inFlight = 0
    private var nextTag = 0
    private var transferred: Int64 = 0
    /// The first piece, in file order, that did not move all its bytes.
    private var stopPosition = Int64.max
    private var stopResult: Int32 = 0
    private var requests: UInt64 = 0
    private var batches: UInt64 = 0
    private var refusals = 0
    private var idleRounds = 0

    /// - Parameters:
    ///   - writes: direction.
    ///   - depth: pieces in flight at once, 1 to 64.
    init(writes: Bool, descriptor: Int32, depth: Int) {
        kind = writes ? IOTRAP_REQUEST_WRITE.rawValue : IOTRAP_REQUEST_READ.rawValue
        self.descriptor = descriptor
        self.depth = max(1, min(depth, 64))
    }

    /// Runs all pieces of `cursor`. Returns only when nothing is in flight any more: the kernel
    /// must not touch the caller's memory after that.
    mutating func run<B: Backend>(_ backend: inout B, _ cursor: PieceCursor) -> Outcome {
        var cursor = cursor
        var pending = cursor.next()
        while true {
            // Pieces after one that fell short are not needed: their bytes cannot be reported.
            while let piece = pending, inFlight < depth, piece.position < stopPosition {
                guard enqueue(&backend, piece) else { break }
                pending = cursor.next()
            }
            if inFlight == 0 { break }
            var submitted = backend.submitAndWait()
            if submitted > 0 { idleRounds = 0 }
            // Waiting without anything submitted or completed must not last for ever.
            idleRounds += 1
            if submitted == 0 && idleRounds > 100_000 { submitted = -5 }
            if submitted < 0, handleRefusal(&backend, submitted) {
                return Outcome(
                    result: 0, requests: requests, batches: batches, isUnserved: true)
            }
            if submitted > 0 { batches += 1 }
            while let completion = backend.next() {
                finish(completion)
                idleRounds = 0
            }
        }
        return Outcome(
            result: joined, requests: requests, batches: batches,
            isMisfit: Transfer.isMisfit(stopResult))
    }

    private var joined: Int64 {
        guard stopPosition != Int64.max else { return transferred }
        if stopResult < 0 { return stopPosition > 0 ? stopPosition : Int64(stopResult) }
        return stopPosition + Int64(stopResult)
    }

    private mutating func enqueue<B: Backend>(_ backend: inout B, _ piece: Piece) -> Bool {
        while slots[nextTag].length != 0 { nextTag = (nextTag + 1) % 64 }
        let request = IORequest(
            kind: kind, descriptor: descriptor, address: piece.address, length: piece.length,
            offset: piece.offset)
        guard backend.enqueue(request, tag: UInt32(nextTag)) else { return false }
        slots[nextTag] = piece
        inFlight += 1
        requests += 1
        return true
    }

    /// The submission failed. True when the backend is unusable and nothing was ever in flight.
    private mutating func handleRefusal<B: Backend>(_ backend: inout B, _ error: Int32) -> Bool {
        // EINTR cannot last, and with EAGAIN or EBUSY the kernel is short of memory or of room for
        // completions: taking those and waiting a little is the remedy (io_uring_enter(2)).
        refusals += 1
        if error == -4 || error == -11 || error == -16, refusals < 1000 {
            iotrap_pause_ns(100_000)
            return false
        }
        let unsubmitted = Int(backend.unqueue())
        if unsubmitted == inFlight && requests == UInt64(unsubmitted) { return true }
        if unsubmitted > 0 { abandonUnsubmitted(unsubmitted, error) }
        // The rest is in the kernel's hands and will complete.
        if inFlight > 0 { iotrap_pause_ns(1_000_000) }
        return false
    }

    /// Marks the youngest pieces, which never reached the kernel, as failed.
    private mutating func abandonUnsubmitted(_ count: Int, _ error: Int32) {
        for _ in 0..<count {
            var youngest = -1
            for tag in 0..<64 where slots[tag].length != 0 {
                if youngest < 0 || slots[tag].position > slots[youngest].position { youngest = tag }
            }
            if youngest < 0 { return }
            finish(IOCompletion(tag: UInt32(youngest), result: -11))
        }
    }

    private mutating func finish(_ completion: IOCompletion) {
        let tag = Int(completion.tag) % 64
        let piece = slots[tag]
        guard piece.length != 0 else { return }
        slots[tag].length = 0
        inFlight -= 1
        var result = completion.result
        if Transfer.isRetriable(result) {
            result = PlainBackend.execute(
                IORequest(
                    kind: kind, descriptor: descriptor, address: piece.address,
                    length: piece.length, offset: piece.offset))
        }
        if result == Int32(bitPattern: piece.length) {
            transferred += Int64(result)
        } else if piece.position < stopPosition {
            stopPosition = piece.position
            stopResult = result
        }
    }

    /// EFAULT, EINVAL, ENOSPC, EDQUOT
    private static func isMisfit(_ result: Int32) -> Bool {
        result == -14 || result == -22 || result == -28 || result == -122
    }

    /// Answers a ring gives where the plain call would have gone on: EINTR, EAGAIN, EOPNOTSUPP,
    /// ECANCELED. The plain call decides what the program sees.
    private static func isRetriable(_ result: Int32) -> Bool {
        result == -4 || result == -11 || result == -95 || result == -125
    }
}
