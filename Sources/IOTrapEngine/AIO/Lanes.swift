import CIOTrap
import CIOTrapEngine
import Synchronization

/// The requests of one descriptor in the order they came, in flight or waiting for their turn.
/// Only the service thread touches lanes, but for `isEmpty` and `onRings`.
///
/// A request that must keep an order (SERIAL, BARRIER) is issued when it is the first of its lane:
/// all before it are done then. Others are issued at once. So a sync covers what was queued before
/// it, and neither waits for nor covers what came later.
enum Lanes {
    typealias Request = RequestPool.Request
    typealias Lane = UnsafeMutablePointer<iotrap_lane>

    /// Values of a request's `state`.
    enum State {
        static let waiting: UInt32 = 1
        static let issued: UInt32 = 2
    }

    /// The lane of a descriptor. Those beyond the tables, or for whose table there is no memory,
    /// share lanes, which orders more than need be and loses nothing.
    static func lane(_ descriptor: Int32) -> Lane {
        let number = UInt32(bitPattern: descriptor)
        let index = number / IOTRAP_LANE_TABLE_LANES
        guard index < IOTRAP_LANE_TABLES else { return iotrap_lane_shared(number) }
        let table = table(index) ?? makeTable(index)
        return table + Int(number % IOTRAP_LANE_TABLE_LANES)
    }

    /// The lanes of 1024 descriptors, if one of them ever had a request.
    private static func table(_ index: UInt32) -> Lane? {
        // acquiring: pairs with `makeTable`
        let word = UInt(tableWord(index).pointee.load(ordering: .acquiring))
        return UnsafeMutableRawPointer(bitPattern: word)?.assumingMemoryBound(
            to: iotrap_lane.self)
    }

    @inline(never)
    private static func makeTable(_ index: UInt32) -> Lane {
        let bytes = MemoryLayout<iotrap_lane>.stride * Int(IOTRAP_LANE_TABLE_LANES)
        let pages = iotrap_pages(bytes, 0)
        // What is shared once stays so: a request must be found where it was put.
        let table = pages ?? UnsafeMutableRawPointer(iotrap_lane_shared(0))
        let (made, found) = tableWord(index).pointee.compareExchange(
            expected: 0, desired: UInt64(UInt(bitPattern: table)),
            ordering: .acquiringAndReleasing)
        if made { return table.assumingMemoryBound(to: iotrap_lane.self) }
        if let pages { iotrap_pages_free(pages, bytes) }
        return UnsafeMutableRawPointer(bitPattern: UInt(found))!.assumingMemoryBound(
            to: iotrap_lane.self)
    }

    /// True when no request of the descriptor has been taken up and not ended, as far as another
    /// thread can tell. Those on rings of their threads are not looked at: the kernel has them.
    static func isEmpty(_ descriptor: Int32) -> Bool {
        let number = UInt32(bitPattern: descriptor)
        let index = number / IOTRAP_LANE_TABLE_LANES
        guard index < IOTRAP_LANE_TABLES else { return false }
        guard let table = table(index) else { return true }
        return (table + Int(number % IOTRAP_LANE_TABLE_LANES)).first == 0
    }

    private static func tableWord(_ index: UInt32) -> UnsafePointer<Atomic<UInt64>> {
        UnsafeMutableRawPointer(iotrap_lane_table(index))
            .assumingMemoryBound(to: UInt64.self).atomic
    }

    /// Adds a request behind all others of its descriptor.
    ///
    /// - Returns: true when it is to be issued now.
    static func append(_ request: Request) -> Bool {
        let lane = lane(request.pointee.descriptor)
        let number = request.pointee.number + 1
        request.pointee.lane_next = 0
        request.pointee.lane_previous = lane.pointee.last
        if lane.pointee.last == 0 {
            lane.first = number
        } else {
            RequestPool.request(lane.pointee.last - 1).pointee.lane_next = number
        }
        lane.pointee.last = number
        let waits = IOTRAP_REQUEST_SERIAL | IOTRAP_REQUEST_BARRIER
        let isTurn = UInt32(request.pointee.order) & waits == 0 || lane.first == number
        request.pointee.state = isTurn ? State.issued : State.waiting
        return isTurn
    }

    /// Takes a request out.
    ///
    /// - Returns: the one whose turn has come by that, to be issued.
    static func remove(_ request: Request) -> Request? {
        let lane = lane(request.pointee.descriptor)
        let next = request.pointee.lane_next
        let previous = request.pointee.lane_previous
        if previous == 0 {
            lane.first = next
        } else {
            RequestPool.request(previous - 1).pointee.lane_next = next
        }
        if next == 0 {
            lane.pointee.last = previous
        } else {
            RequestPool.request(next - 1).pointee.lane_previous = previous
        }
        guard previous == 0, next != 0 else { return nil }
        let first = RequestPool.request(next - 1)
        guard first.pointee.state == State.waiting else { return nil }
        first.pointee.state = State.issued
        return first
    }

    /// The first request of a lane, and the one behind another.
    static func first(_ lane: Lane) -> Request? {
        lane.first == 0 ? nil : RequestPool.request(lane.first - 1)
    }

    static func next(_ request: Request) -> Request? {
        request.pointee.lane_next == 0
            ? nil : RequestPool.request(request.pointee.lane_next - 1)
    }

    /// Calls `body` with each lane that may hold requests of descriptors in `first...last`.
    static func forEach(_ first: UInt32, _ last: UInt32, _ body: (Lane) -> Void) {
        let size = IOTRAP_LANE_TABLE_LANES
        let top = min(last, IOTRAP_LANE_TABLES * size - 1)
        var number = first
        while number <= top {
            let end = min(top, (number / size + 1) * size - 1)
            if let table = table(number / size) {
                for index in number...end { visit(table + Int(index % size), body) }
            }
            number = end + 1
        }
        for index in 0..<size { visit(iotrap_lane_shared(index), body) }
    }

    private static func visit(_ lane: Lane, _ body: (Lane) -> Void) {
        if lane.first != 0 { body(lane) }
    }

    /// In a forked child: whatever the lanes held is not here.
    static func forget() {
        let bytes = MemoryLayout<iotrap_lane>.stride * Int(IOTRAP_LANE_TABLE_LANES)
        for index in 0..<IOTRAP_LANE_TABLES {
            guard let table = table(index) else { continue }
            UnsafeMutableRawPointer(table).initializeMemory(
                as: UInt8.self, repeating: 0, count: bytes)
        }
        UnsafeMutableRawPointer(iotrap_lane_shared(0)).initializeMemory(
            as: UInt8.self, repeating: 0, count: bytes)
    }
}

extension UnsafeMutablePointer where Pointee == iotrap_lane {
    /// The first request's number + 1. Other threads look at it.
    var first: UInt32 {
        get { iotrap_lane_first(self).atomic.pointee.load(ordering: .relaxed) }
        nonmutating set {
            iotrap_lane_first(self).atomic.pointee.store(newValue, ordering: .relaxed)
        }
    }

    /// The number of reads on rings of their threads.
    var onRings: UnsafePointer<Atomic<UInt32>> { iotrap_lane_on_rings(self).atomic }
}
