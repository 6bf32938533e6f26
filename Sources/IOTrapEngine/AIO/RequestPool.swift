import CIOTrapEngine
import Synchronization

/// Where requests come from: taking and giving back one needs no lock and, after warm-up, no
/// memory, so both work inside signal handlers and on any thread.
enum RequestPool {
    typealias Request = UnsafeMutablePointer<iotrap_request>

    private static var pool: UnsafeMutablePointer<iotrap_request_pool> { iotrap_pool() }
    private static var free: UnsafePointer<Atomic<UInt64>> {
        iotrap_request_pool_free(pool).atomic
    }

    /// A request of the given number.
    @inline(__always)
    static func request(_ number: UInt32) -> Request {
        iotrap_pool_chunk(number / IOTRAP_POOL_CHUNK_REQUESTS).pointee!
            + Int(number % IOTRAP_POOL_CHUNK_REQUESTS)
    }

    /// The number of requests there are, taken or not. They are never unmapped.
    static var count: UInt32 {
        // acquiring: pairs with `grow`
        iotrap_request_pool_chunk_count(pool).atomic.pointee.load(ordering: .acquiring)
            * IOTRAP_POOL_CHUNK_REQUESTS
    }

    /// Takes a request; its fields but `number` hold anything. Nil when memory is refused.
    static func take() -> Request? {
        while true {
            // acquiring: pairs with `give`, whose stores to the request come first
            let head = free.pointee.load(ordering: .acquiring)
            let first = UInt32(truncatingIfNeeded: head)
            guard first != 0 else {
                guard grow() else { return nil }
                continue
            }
            let request = request(first - 1)
            // A request taken meanwhile by somebody else reads as rubbish here; the tag tells.
            let next = iotrap_request_next(request).atomic.pointee.load(ordering: .relaxed)
            let desired = ((head >> 32) &+ 1) << 32 | UInt64(next)
            if free.pointee.compareExchange(
                expected: head, desired: desired, ordering: .acquiringAndReleasing
            ).exchanged {
                return request
            }
        }
    }

    /// Links a request that the caller holds. Not a plain store: `take` may look at it, though not
    /// believe it, when it was free a moment ago.
    @inline(__always)
    static func setNext(_ request: Request, _ next: UInt32) {
        iotrap_request_next(request).atomic.pointee.store(next, ordering: .relaxed)
    }

    /// Gives a request back.
    static func give(_ request: Request) {
        give(first: request, last: request)
    }

    private static func give(first: Request, last: Request) {
        while true {
            let head = free.pointee.load(ordering: .relaxed)
            iotrap_request_next(last).atomic.pointee.store(
                UInt32(truncatingIfNeeded: head), ordering: .relaxed)
            let desired = ((head >> 32) &+ 1) << 32 | UInt64(first.pointee.number + 1)
            // releasing: pairs with `take`
            if free.pointee.compareExchange(
                expected: head, desired: desired, ordering: .releasing
            ).exchanged {
                return
            }
        }
    }

    /// Makes one more chunk. A signal handler that needs one while its thread makes one is refused.
    private static func grow() -> Bool {
        let lock = UnsafeMutableRawPointer(iotrap_request_pool_lock(pool))
            .assumingMemoryBound(to: FutexLock.self)
        var mask: UInt64 = 0
        iotrap_signals_block(&mask)
        defer { iotrap_signals_restore(&mask) }
        FutexLock.acquire(lock)
        defer { FutexLock.release(lock) }
        if UInt32(truncatingIfNeeded: free.pointee.load(ordering: .relaxed)) != 0 { return true }
        let chunk = pool.pointee.chunk_count
        let count = IOTRAP_POOL_CHUNK_REQUESTS
        guard chunk < IOTRAP_POOL_CHUNKS,
            let pages = iotrap_pages(MemoryLayout<iotrap_request>.stride * Int(count), 0)
        else { return false }
        let requests = pages.assumingMemoryBound(to: iotrap_request.self)
        for index in 0..<count {
            requests[Int(index)].number = chunk * count + index
            requests[Int(index)].next = index + 1 < count ? chunk * count + index + 2 : 0
        }
        iotrap_pool_chunk(chunk).pointee = requests
        // releasing: pairs with `count`
        iotrap_request_pool_chunk_count(pool).atomic.pointee.store(chunk + 1, ordering: .releasing)
        give(first: requests, last: requests + Int(count - 1))
        return true
    }

    /// A forked child: whoever held requests is not here, so all of them are free again.
    static func reset() {
        let chunks = pool.pointee.chunk_count
        pool.pointee.lock = 0
        free.pointee.store(0, ordering: .relaxed)
        for chunk in 0..<chunks {
            guard let requests = iotrap_pool_chunk(chunk).pointee else { continue }
            let count = IOTRAP_POOL_CHUNK_REQUESTS
            for index in 0..<(count - 1) {
                requests[Int(index)].next = chunk * count + index + 2
            }
            give(first: requests, last: requests + Int(count - 1))
        }
    }
}
