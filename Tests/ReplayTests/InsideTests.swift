import Foundation
import IOTrace
import Testing

@testable import IOReplay

/// Replays in this process, where sanitizers see them.
@Suite("A replay inside the test", .serialized)
struct InsideTests {
    /// Threads that read, write and sync two files, with what each has to wait for.
    private func events(_ count: Int) -> [TraceEvent] {
        var random: UInt64 = 3
        return (0..<count).map { index in
            random = random &* 6_364_136_223_846_793_005 &+ 1
            let kind = random >> 50 & 15
            var event = event(
                kind < 8 ? .read : kind < 14 ? .write : kind == 14 ? .fdatasync : .commit,
                block: random >> 40 & 15, at: UInt64(index), thread: UInt32(index % 4),
                file: UInt32(random >> 33 & 1), depth: kind == 14 ? 1 : 4,
                after: index > 9 && kind > 11 ? UInt32(1 + random >> 60 & 7) : 0,
                isAfterFile: kind == 14)
            if event.operation == .commit { event.file = TraceEvent.noFile }
            return event
        }
    }

    @Test("Every engine keeps to the trace", arguments: ReplayEngine.allCases)
    func engines(engine: ReplayEngine) throws {
        let environment = ProcessInfo.processInfo.environment
        if engine == .posixaio && environment["IOTRAP_SANITIZE"] == "thread" {
            print("SKIP posixaio: the thread sanitizer crashes in threads that glibc starts for it")
            return
        }
        let scratch = try Scratch()
        let all = events(4000)
        let files = [TraceFile.of("a", blocks: 16), .of("b/c", blocks: 16)]
        var options = ReplayOptions()
        options.trace = try scratch.trace(all, files: files)
        options.target = scratch("target")
        options.engine = engine
        options.verifies = true
        for pace in [ReplayPace.asap, .recorded(speed: 4)] {
            options.pace = pace
            let replay = try Replay(options)
            #expect(replay.lanes == 4)
            let run = try #require(try replay.run { _ in })
            #expect(run.requests == UInt64(all.count { $0.operation != .commit }))
            #expect(run.bytes == UInt64(all.count { $0.operation.movesData }) * 4096)
            #expect(run.errors == 0 && run.faultCount == 0 && run.faults == [])
            #expect(run.blocks.checked > 0 && !run.isPartial)
        }
    }
}
