import IOTrace
import Testing

@testable import IOReplay

@Suite("Parts of the replayer")
struct PartTests {
    /// The event of a place in a stream.
    private func event(_ index: UInt64, stream: UInt32 = 0) -> TraceEvent {
        var event = TraceEvent()
        event.stream = stream
        event.index = index
        return event
    }

    @Test("Distances within a stream become distances in the replay")
    func streams() {
        var history = StreamHistory()
        // Streams 1 and 2 in turns, 3000 events each, so that memory has to grow.
        for sequence in 0..<UInt64(6000) {
            history.append(event(sequence / 2, stream: 1 + UInt32(sequence % 2)))
        }
        for back: UInt32 in [1, 2, 63, 64, 65, 1000, 2999, 3000] {
            #expect(history.find(back, before: event(3000, stream: 1)) == .back(2 * back))
            #expect(history.find(back, before: event(3000, stream: 2)) == .back(2 * back - 1))
        }
        #expect(history.find(3001, before: event(3000, stream: 1)) == .complete)
        #expect(history.find(0, before: event(3000, stream: 1)) == .complete)
    }

    @Test("What is far back is complete, and memory is bounded")
    func farBack() {
        var history = StreamHistory()
        for index in 0..<UInt64(300_000) { history.append(event(index)) }
        let next = event(300_000)
        for back: UInt32 in [1, 65535] {
            #expect(history.find(back, before: next) == .back(back))
        }
        for back: UInt32 in [65536, 200_000] {
            #expect(history.find(back, before: next) == .complete)
        }
    }

    @Test("What others replay is not taken for complete, however much of it there is")
    func foreign() {
        for sparse: UInt64 in [1, 2, 7, 1000] {
            var history = StreamHistory()
            let all = sparse * 5000
            for index in stride(from: 0, to: all, by: Int(sparse)) { history.append(event(index)) }
            let next = event(all)
            for index in (all - 3000)..<all {
                let place = history.find(UInt32(all - index), before: next)
                let isOwn = index % sparse == 0
                let expected = StreamHistory.Place.back(UInt32(5000 - index / sparse))
                #expect(place == (isOwn ? expected : .foreign), "\(index) of \(sparse)")
            }
            #expect(history.find(1, before: event(5, stream: 9)) == .foreign)
        }
    }

    @Test("A trace that was sorted is followed by its places, not by its order")
    func sortedHistory() {
        var history = StreamHistory(isSorted: true)
        for index: UInt64 in [2, 0, 1] { history.append(event(index)) }
        let next = event(3)
        #expect((1...3).map { history.find($0, before: next) } == [.back(3), .back(1), .back(2)])
        #expect(history.find(1, before: event(5)) == .foreign)
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
