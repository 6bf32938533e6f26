import IOTrace
import Testing

@testable import IOReplay

@Suite("Parts of the replayer")
struct PartTests {
    @Test("Distances within a stream become distances in the replay")
    func streams() {
        var history = StreamHistory()
        // Streams 1 and 2 in turns, 3000 events each, so that memory has to grow.
        for sequence in 0..<UInt64(6000) {
            history.append(sequence, stream: 1 + UInt32(sequence % 2))
        }
        for back: UInt32 in [1, 2, 63, 64, 65, 1000, 2999, 3000] {
            let found = history.distance(back, stream: 1, sequence: 6000)
            #expect(found == 2 * back)
            let other = history.distance(back, stream: 2, sequence: 6000)
            #expect(other == 2 * back - 1)
        }
        let before = history.distance(3001, stream: 1, sequence: 6000)
        #expect(before == 0)
        let none = history.distance(0, stream: 1, sequence: 6000)
        #expect(none == 0)
    }

    @Test("What is far back is complete, and memory is bounded")
    func farBack() {
        var history = StreamHistory()
        for sequence in 0..<UInt64(300_000) { history.append(sequence, stream: 0) }
        for (back, expected) in [(1, 1), (65535, 65535), (65536, 0), (200_000, 0)] {
            let found = history.distance(UInt32(back), stream: 0, sequence: 300_000)
            #expect(found == UInt32(expected))
        }
        history.append(nil, stream: 0)
        let foreign = history.distance(1, stream: 0, sequence: 300_000)
        let own = history.distance(2, stream: 0, sequence: 300_000)
        #expect(foreign == 0 && own == 1)
    }

    @Test("Depth follows from times of submission and completion")
    func recordedDepth() {
        var depths = RecordedDepth(sources: 2)
        func submit(_ time: UInt64, _ latency: UInt64, source: Int = 0) -> UInt32 {
            var event = TraceEvent()
            event.submitNanoseconds = time
            event.latencyNanoseconds = latency
            return depths.submit(event, source: source)
        }
        #expect([submit(0, 100), submit(10, 20), submit(20, 100)] == [1, 2, 3])
        // The second has ended; the other source counts for itself.
        #expect([submit(30, 1), submit(30, 1, source: 1)] == [3, 1])
        #expect(submit(1000, 1) == 1)
    }

    @Test("Paces are read as written")
    func paces() {
        #expect(ReplayPace("asap") == .asap)
        #expect(ReplayPace("recorded") == .recorded(speed: 1))
        #expect(ReplayPace("x2.5") == .recorded(speed: 2.5))
        for text in ["", "x", "x0", "x-1", "xnan", "10", "x1e9"] {
            #expect(ReplayPace(text) == nil)
        }
    }
}
