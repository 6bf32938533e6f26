import CIOTrap
import CIOTrapEngine
import Synchronization

/// Picks the backend the configuration asks for.
enum Backends {
    /// Runs a transfer; nil when there is no ring and one is asked for.
    static func run(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ transfer: inout Transfer,
        _ cursor: PieceCursor
    ) -> Transfer.Outcome? {
        guard process.pointee.configuration.usesRing else {
            var plain = PlainBackend()
            return withFaults(&plain) { transfer.run(&$0, cursor) }
                ?? transfer.run(&plain, cursor)
        }
        guard var ring = ring(thread) else { return nil }
        let outcome =
            withFaults(&ring) { transfer.run(&$0, cursor) } ?? transfer.run(&ring, cursor)
        if outcome.isUnserved { ThreadRing.drop(thread) }
        return outcome
    }

    /// One sync through the backend: 0 or -errno.
    static func sync(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ fd: Int32, dataOnly: Bool
    ) -> Int64 {
        let kind = dataOnly ? IOTRAP_REQUEST_FDATASYNC : IOTRAP_REQUEST_FSYNC
        let request = IORequest(
            kind: kind.rawValue, descriptor: fd, address: nil, length: 0, offset: 0)
        let setting = process.pointee.configuration.setting(IOTRAP_TECHNIQUE_RING.rawValue)
        if setting == IOTRAP_SETTING_ON.rawValue, process.pointee.configuration.usesRing,
            var ring = ring(thread)
        {
            let result = withFaults(&ring) { sync(&$0, request) } ?? sync(&ring, request)
            if let result { return Int64(result) }
            ThreadRing.drop(thread)
        }
        var plain = PlainBackend()
        let result = withFaults(&plain) { sync(&$0, request) } ?? sync(&plain, request)
        return Int64(result ?? -5)
    }

    /// Runs one sync request to its end; nil when the backend would not take it.
    private static func sync<B: Backend>(_ backend: inout B, _ request: IORequest) -> Int32? {
        guard backend.enqueue(request, tag: 0) else { return nil }
        while true {
            let submitted = backend.submitAndWait()
            if let completion = backend.next() { return completion.result }
            if submitted < 0 && backend.unqueue() > 0 { return nil }
            if submitted < 0 { iotrap_pause_ns(100_000) }
        }
    }

    private static func ring(_ thread: UnsafeMutablePointer<iotrap_thread>) -> RingBackend? {
        // A child made by clone with CLONE_VM but without thread-local storage of its own runs on
        // its parent's variables. The ring there belongs to the parent's task, and one made here
        // would be left to the parent when this task is gone.
        guard iotrap_thread_id() == thread.pointee.thread_id else { return nil }
        if let ring = thread.pointee.ring, !ThreadRing.isIntact(ring) { ThreadRing.drop(thread) }
        return ThreadRing.get(thread).map { RingBackend(ring: $0) }
    }

    /// Runs `body` on the backend with the configured faults; nil when there are none.
    private static func withFaults<B: Backend, R>(
        _ backend: inout B, _ body: (inout FaultBackend<B>) -> R
    ) -> R? {
        let rule = process.pointee.configuration.fault
        guard rule.period > 0 else { return nil }
        let counter = address(of: &process.pointee.faultCount)
        var faulty = FaultBackend(
            backend, rule: rule, count: counter.atomic.pointee.load(ordering: .relaxed))
        let result = body(&faulty)
        counter.atomic.pointee.store(faulty.count, ordering: .relaxed)
        return result
    }
}
