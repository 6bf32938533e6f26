import CIOTrap
import Testing

@testable import IOTrace

@Suite("File positions of recordings")
struct FilePositionTests {
    /// A recording under the hand: records go in, and what comes out is kept.
    private struct Feed {
        var positions: FilePositions
        var found: [RawRecord] = []

        init(waitingMax: Int = 1000) { positions = FilePositions(waitingMax: waitingMax) }

        mutating func put(_ record: RawRecord) {
            positions.put(.init(record: record, process: 3, stream: 0))
            take()
        }

        mutating func take() {
            while let entry = positions.next() { found.append(entry.record) }
        }

        mutating func end() {
            positions.end()
            take()
        }

        /// A read of 100 bytes that moved the position by the result.
        mutating func read(
            _ start: UInt64, _ end: UInt64, _ result: Int64, position: UInt64 = 7
        ) {
            var record = RawRecord(kind: .moved)
            record.time = start
            record.latency = end - start
            record.offset = position
            record.length = 100
            record.result = result
            put(record)
        }

        mutating func look(
            _ start: UInt64, _ end: UInt64, at place: UInt64, by distance: Int64 = 0,
            flags: UInt32 = 0
        ) {
            var record = RawRecord(kind: .position)
            record.time = start
            record.latency = end - start
            record.offset = 7
            record.length = place
            record.result = distance
            record.flags = flags
            put(record)
        }

        var offsets: [UInt64] { found.map(\.offset) }
        var counts: [UInt64] {
            [positions.sharedCount, positions.unconfirmedCount, positions.unknownCount]
        }
    }

    @Test("Calls have their offsets once the position is where they moved it")
    func agreed() {
        var feed = Feed()
        feed.read(1, 2, 100)
        feed.read(3, 4, 30)
        feed.read(5, 6, -5)
        feed.read(7, 8, 100)
        #expect(feed.found.isEmpty)
        feed.look(9, 10, at: 230)
        feed.put(RawRecord(kind: .submit, time: 11))
        #expect(feed.offsets == [0, 100, 130, 130, 0])
        #expect(feed.found.prefix(4).allSatisfy { $0.kind == .event && !$0.isAssumed })
        feed.end()
        #expect(feed.counts == [0, 0, 0])
    }

    @Test("Other records wait for those before them, and pass without them")
    func order() {
        var feed = Feed()
        feed.put(RawRecord(kind: .submit, time: 1))
        #expect(feed.found.count == 1)
        feed.read(2, 3, 100)
        feed.put(RawRecord(kind: .done, time: 4))
        feed.put(RawRecord(kind: .event, time: 5))
        #expect(feed.found.count == 1)
        feed.look(6, 7, at: 100)
        feed.end()
        #expect(feed.found.map(\.time) == [1, 2, 4, 5])
        #expect(feed.found.map(\.kind) == [.submit, .event, .done, .event])
    }

    @Test("Calls before a look that disagrees are left out, those before and after are not")
    func disagreed() {
        var feed = Feed()
        feed.read(1, 2, 100)
        feed.look(3, 4, at: 100)
        feed.read(5, 6, 100)
        feed.look(7, 8, at: 500, by: 200, flags: IOTRAP_RECORD_POSITION_SET)
        feed.read(9, 10, 100)
        feed.look(11, 12, at: 608)
        feed.read(13, 14, 10)
        feed.look(15, 16, at: 618)
        feed.end()
        #expect(feed.found.map(\.time) == [1, 13])
        #expect(feed.offsets == [0, 608])
        #expect(feed.counts == [0, 0, 2])
    }

    @Test("Seeks set the position, and those by a distance look at it too")
    func seeks() {
        var feed = Feed()
        feed.look(1, 2, at: 4000, flags: IOTRAP_RECORD_POSITION_SET)
        feed.read(3, 4, 100)
        feed.look(5, 6, at: 4050, by: -50)
        feed.read(7, 8, 10)
        feed.look(9, 10, at: 4110, by: 50)
        feed.read(11, 12, 1)
        // 40 bytes too far.
        feed.look(13, 14, at: 4151, by: 10)
        feed.end()
        #expect(feed.offsets == [4000, 4050])
        #expect(feed.counts == [0, 0, 1])
    }

    @Test("Calls at one time are in the order of their ends, and said to be assumed")
    func overlapping() {
        var feed = Feed()
        feed.read(1, 9, 100)
        feed.read(2, 5, 10)
        feed.read(6, 7, 20)
        feed.look(10, 11, at: 130)
        feed.read(12, 13, 1)
        feed.look(14, 15, at: 131)
        feed.end()
        #expect(feed.offsets == [30, 0, 10, 130])
        #expect(feed.counts == [3, 0, 0])
    }

    @Test("What has moved nothing does not hide what ran at one time")
    func overlappingAround() {
        var feed = Feed()
        feed.read(1, 9, 100)
        feed.read(2, 5, 10)
        feed.read(6, 7, -1)
        feed.look(10, 11, at: 110)
        feed.end()
        #expect(feed.offsets == [10, 0, 10])
        #expect(feed.counts == [3, 0, 0])
    }

    @Test("A look may or may not have seen what runs with it", arguments: [100, 110, 200, 210])
    func fuzzyLook(place: UInt64) {
        var feed = Feed()
        feed.read(1, 2, 100)
        // One that ends before the look does, and one that ends behind it.
        feed.read(3, 7, 100)
        feed.read(4, 20, 10)
        feed.look(6, 8, at: place)
        feed.end()
        #expect(feed.offsets == [0, 100, 200])
        #expect(feed.counts[2] == 0)
    }

    @Test("A look that nothing that runs with it explains", arguments: [99, 211])
    func wrongFuzzyLook(place: UInt64) {
        var feed = Feed()
        feed.read(1, 2, 100)
        feed.read(3, 7, 100)
        feed.read(4, 20, 10)
        feed.look(6, 8, at: place)
        feed.end()
        #expect(feed.counts[2] == 2)
    }

    @Test("A read that found the end of the file came after those that found something")
    func endOfFile() {
        var feed = Feed()
        feed.read(1, 9, 100)
        feed.read(2, 5, 0)
        feed.look(10, 11, at: 100)
        feed.end()
        #expect(feed.offsets == [0, 100])
    }

    @Test("What nobody looked at again is kept, and counted")
    func unconfirmed() {
        var feed = Feed()
        feed.read(1, 2, 100)
        feed.read(3, 4, 100)
        feed.end()
        #expect(feed.offsets == [0, 100])
        #expect(feed.counts == [0, 2, 0])
    }

    @Test("Memory is bounded, whatever never comes")
    func bounded() {
        var feed = Feed(waitingMax: 10)
        feed.read(1, 2, 100)
        for time in 0..<20 { feed.put(RawRecord(kind: .event, time: 3 + UInt64(time))) }
        #expect(feed.found.count == 21)
        #expect(feed.counts == [0, 1, 0])
        // Too late for the first, not for the next.
        feed.read(50, 51, 100)
        feed.look(52, 53, at: 200)
        feed.end()
        #expect(feed.offsets.last == 100)
        #expect(feed.counts == [0, 1, 0])
    }

    @Test("A position that is over is forgotten, with what still ran")
    func over() {
        var feed = Feed()
        for file in 0..<100 {
            let time = UInt64(file) * 100
            feed.read(time + 1, time + 2, 100)
            feed.read(time + 3, time + 50, 100)
            feed.look(time + 5, time + 6, at: 200, flags: IOTRAP_RECORD_POSITION_LAST)
            #expect(feed.positions.followedCount == 0)
            #expect(feed.found.count == 2 * file + 2)
        }
        #expect(feed.offsets.allSatisfy { $0 == 0 || $0 == 100 })
        feed.read(20000, 20001, 1, position: 8)
        #expect(feed.positions.followedCount == 1)
    }
}
