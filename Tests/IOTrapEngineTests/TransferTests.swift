import CIOTrap
import CIOTrapEngine
import Glibc
import Testing

@testable import IOTrapEngine

/// A storage that answers in random order, as a script of results by file offset says.
private struct ScriptedBackend: Backend {
    /// Result by offset; full length where nothing is said.
    var results: [Int64: Int32] = [:]
    /// Answers of submitAndWait before it works: errors.
    var refusals: [Int32] = []
    /// True: a refused submission leaves the requests with the kernel all the same.
    var takesNothingWhenRefused = true
    var generator = SplitMix(seed: 1)
    private(set) var deepest = 0
    private(set) var issued: [Int64] = []
    private var queued: [IOCompletion] = []
    private var running: [IOCompletion] = []
    private var done: [IOCompletion] = []

    init() {}

    mutating func enqueue(_ request: IORequest, tag: UInt32) -> Bool {
        guard queued.count + running.count < 64 else { return false }
        issued.append(request.offset)
        let result = results[request.offset] ?? Int32(request.length)
        queued.append(IOCompletion(tag: tag, result: result))
        return true
    }

    mutating func submitAndWait() -> Int32 {
        if !refusals.isEmpty { return refusals.removeFirst() }
        let count = Int32(queued.count)
        running += queued
        queued.removeAll()
        deepest = max(deepest, running.count)
        let taken = Int.random(in: 1...max(1, running.count), using: &generator)
        for _ in 0..<min(taken, running.count) {
            done.append(running.remove(at: Int.random(in: 0..<running.count, using: &generator)))
        }
        return count
    }

    mutating func next() -> IOCompletion? { done.popLast() }

    mutating func unqueue() -> UInt32 {
        defer { queued.removeAll() }
        return UInt32(queued.count)
    }
}

private func run(
    _ backend: inout ScriptedBackend, bytes: Int, chunk: UInt64 = 4096, depth: Int = 8
) -> Transfer.Outcome {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 4096)
    defer { memory.deallocate() }
    var element = iovec(iov_base: memory, iov_len: bytes)
    let cursor = PieceCursor(
        iov: &element, count: 1, offset: 0, limit: Int64(bytes), chunkBytes: chunk)
    var transfer = Transfer(writes: false, descriptor: -1, depth: depth)
    return withUnsafePointer(to: &element) { _ in transfer.run(&backend, cursor) }
}

@Suite struct TransferTests {
    @Test func joinsFullPieces() {
        var backend = ScriptedBackend()
        let outcome = run(&backend, bytes: 100_000)
        #expect(outcome.result == 100_000)
        #expect(outcome.requests == 25)
        #expect(backend.deepest == 8, "the depth asked for must really be in flight")
    }

    @Test(arguments: [0, 1, 7, 24]) func errorAfterAPrefixGivesThePrefix(_ bad: Int) {
        var backend = ScriptedBackend()
        backend.results[Int64(bad) * 4096] = -EIO
        let outcome = run(&backend, bytes: 25 * 4096)
        #expect(outcome.result == (bad == 0 ? Int64(-EIO) : Int64(bad) * 4096))
    }

    @Test func shortPieceEndsThePrefixInsideIt() {
        var backend = ScriptedBackend()
        backend.results[3 * 4096] = 1024
        backend.results[5 * 4096] = -EIO
        #expect(run(&backend, bytes: 25 * 4096).result == 3 * 4096 + 1024)
    }

    @Test func theFirstFailureInFileOrderCounts() {
        for seed in 0..<50 {
            var backend = ScriptedBackend()
            backend.generator = SplitMix(seed: UInt64(seed))
            backend.results[9 * 4096] = -ENOSPC
            backend.results[4 * 4096] = -EIO
            backend.results[4096] = 0
            #expect(run(&backend, bytes: 25 * 4096).result == 4096)
        }
    }

    @Test func stopsIssuingAfterAFailure() {
        var backend = ScriptedBackend()
        backend.results[0] = -EIO
        _ = run(&backend, bytes: 1000 * 4096, depth: 4)
        #expect(backend.issued.count < 50, "pieces behind a failure are not worth issuing")
    }

    @Test func endOfFile() {
        var backend = ScriptedBackend()
        for piece in 6..<25 { backend.results[Int64(piece) * 4096] = 0 }
        backend.results[5 * 4096] = 300
        #expect(run(&backend, bytes: 25 * 4096).result == 5 * 4096 + 300)
    }

    @Test func randomisedAgainstTheModel() {
        var generator = SplitMix(seed: 42)
        for round in 0..<300 {
            var backend = ScriptedBackend()
            backend.generator = SplitMix(seed: UInt64(round))
            let count = Int.random(in: 1...70, using: &generator)
            var expected: Int64 = 0
            var stopped = false
            for piece in 0..<count {
                let roll = Int.random(in: 0..<40, using: &generator)
                var result: Int32 = 4096
                if roll == 0 { result = -EIO }
                if roll == 1 { result = Int32.random(in: 0..<4096, using: &generator) }
                backend.results[Int64(piece) * 4096] = result
                if stopped { continue }
                if result < 0 {
                    if piece == 0 { expected = Int64(result) }
                    stopped = true
                } else {
                    expected += Int64(result)
                    stopped = result != 4096
                }
            }
            let depth = Int.random(in: 1...64, using: &generator)
            #expect(run(&backend, bytes: count * 4096, depth: depth).result == expected)
        }
    }

    @Test func refusedBeforeAnythingRanIsUnserved() {
        var backend = ScriptedBackend()
        backend.refusals = [-EBADF]
        #expect(run(&backend, bytes: 8 * 4096).isUnserved)
    }

    @Test func busyKernelIsAskedAgain() {
        var backend = ScriptedBackend()
        backend.refusals = [-EAGAIN, -EBUSY, -EINTR]
        let outcome = run(&backend, bytes: 8 * 4096)
        #expect(!outcome.isUnserved)
        #expect(outcome.result == 8 * 4096)
    }

    @Test func faultBackendShortensAndFails() {
        var rule = FaultRule()
        rule.period = 1
        rule.error = -EIO
        var failing = FaultBackend(ScriptedBackend(), rule: rule)
        _ = failing.enqueue(
            IORequest(kind: 0, descriptor: -1, address: nil, length: 100, offset: 0), tag: 3)
        #expect(failing.submitAndWait() == 1)
        #expect(failing.next()?.result == -EIO)
        #expect(failing.count == 1)
    }
}

@Suite struct RealBackendTests {
    /// Runs a read of a real file through a backend and checks every byte.
    private func check<B: Backend>(_ backend: inout B, retries: Bool = false) throws {
        var name = Array("/tmp/iotrap-transfer-XXXXXX".utf8CString)
        let fd = mkstemp(&name)
        defer { close(fd) }
        unlink(name)
        let bytes = 300_000
        let source = (0..<bytes).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 12) }
        #expect(write(fd, source, bytes) == bytes)
        var target = [UInt8](repeating: 0, count: bytes + 5000)
        let result = target.withUnsafeMutableBytes { memory in
            var element = iovec(iov_base: memory.baseAddress, iov_len: memory.count)
            return withUnsafePointer(to: &element) { vector in
                let cursor = PieceCursor(
                    iov: vector, count: 1, offset: 0, limit: Int64(memory.count), chunkBytes: 4096)
                var transfer = Transfer(writes: false, descriptor: fd, depth: 32)
                return transfer.run(&backend, cursor)
            }
        }
        #expect(result.result == Int64(bytes))
        #expect(target.prefix(bytes).elementsEqual(source))
    }

    @Test func plain() throws {
        var backend = PlainBackend()
        try check(&backend)
    }

    @Test(arguments: [1, 0]) func ring(_ hidden: Int32) throws {
        var error: Int32 = 0
        guard let ring = iotrap_ring_create(hidden, &error) else {
            print("SKIP ring: io_uring is not available here, error \(-error)")
            return
        }
        defer { iotrap_ring_destroy(ring) }
        var backend = RingBackend(ring: ring)
        try check(&backend)
    }

    @Test func retriableErrorsAreRepeatedWithThePlainCall() throws {
        var rule = FaultRule()
        rule.period = 3
        rule.error = -EAGAIN
        var backend = FaultBackend(PlainBackend(), rule: rule)
        try check(&backend)
    }
}
