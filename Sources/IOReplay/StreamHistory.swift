import CIOReplay
import IOTrace

/// Where in the order of the replay the latest events of each stream went: dependencies are
/// distances within a stream, and the replayer counts across all of them.
struct StreamHistory {
    /// Where an event is that another one depends on.
    enum Place: Equatable {
        /// There is none, or it is complete for certain.
        case complete
        /// So far back in the order of the replay.
        case back(UInt32)
        /// It is not replayed here.
        case foreign
    }

    /// What is replayed of a stream, the latest entries.
    private final class Ring {
        var indices = [UInt64](repeating: 0, count: 64)
        var sequences = [UInt64](repeating: 0, count: 64)
        /// Entries ever made.
        var count: UInt64 = 0
        var size: UInt64 { UInt64(indices.count) }
    }

    private var rings: [UInt32: Ring] = [:]
    private var last: (stream: UInt32, ring: Ring)?
    /// Of a trace that is replayed in another order than that of its streams: all events.
    private var all: [UInt64: UInt64] = [:]
    private let isSorted: Bool
    /// The sequence number of the next event.
    private(set) var sequence: UInt64 = 0
    private static let window = UInt64(IOTRAP_REPLAY_WINDOW)

    /// - Parameter isSorted: whether events of a stream come in another order than that of their
    ///   places in it.
    init(isSorted: Bool = false) {
        self.isSorted = isSorted
    }

    /// Appends an event that is replayed.
    mutating func append(_ event: TraceEvent) {
        defer { sequence += 1 }
        if isSorted {
            all[Self.key(event.stream, event.index)] = sequence
            return
        }
        let ring = ring(of: event.stream)
        // What is outside the window is complete for certain and may be forgotten.
        if ring.count >= ring.size
            && sequence &- ring.sequences[Int(ring.count % ring.size)] < Self.window
        {
            Self.grow(ring)
        }
        ring.indices[Int(ring.count % ring.size)] = event.index
        ring.sequences[Int(ring.count % ring.size)] = sequence
        ring.count += 1
    }

    /// The event that lies `distance` before another one in its stream, which is the next to be
    /// replayed.
    func find(_ distance: UInt32, before event: TraceEvent) -> Place {
        guard distance > 0, UInt64(distance) <= event.index else { return .complete }
        let index = event.index - UInt64(distance)
        if isSorted {
            return all[Self.key(event.stream, index)].map(place) ?? .foreign
        }
        let ring =
            if let last, last.stream == event.stream { last.ring } else { rings[event.stream] }
        guard let ring, ring.count > 0 else { return .foreign }
        let oldest = ring.count - min(ring.count, ring.size)
        // Where all events are replayed, it is as far back here.
        if UInt64(distance) <= ring.count - oldest {
            let guess = Int((ring.count - UInt64(distance)) % ring.size)
            if ring.indices[guess] == index { return place(ring.sequences[guess]) }
        }
        if index < ring.indices[Int(oldest % ring.size)] {
            return oldest == 0 ? .foreign : .complete
        }
        var low = oldest
        var high = ring.count
        while low < high {
            let middle = (low + high) / 2
            if ring.indices[Int(middle % ring.size)] < index {
                low = middle + 1
            } else {
                high = middle
            }
        }
        if low == ring.count { return .foreign }
        let found = Int(low % ring.size)
        return ring.indices[found] == index ? place(ring.sequences[found]) : .foreign
    }

    private func place(_ found: UInt64) -> Place {
        sequence - found < Self.window ? .back(UInt32(sequence - found)) : .complete
    }

    private static func key(_ stream: UInt32, _ index: UInt64) -> UInt64 {
        UInt64(stream) << 40 | index
    }

    private mutating func ring(of stream: UInt32) -> Ring {
        if let last, last.stream == stream { return last.ring }
        let ring = rings[stream] ?? Ring()
        rings[stream] = ring
        last = (stream, ring)
        return ring
    }

    private static func grow(_ ring: Ring) {
        let size = ring.size
        var indices = [UInt64](repeating: 0, count: Int(size) * 2)
        var sequences = indices
        for back in 1...min(ring.count, size) {
            let place = ring.count - back
            indices[Int(place % (size * 2))] = ring.indices[Int(place % size)]
            sequences[Int(place % (size * 2))] = ring.sequences[Int(place % size)]
        }
        ring.indices = indices
        ring.sequences = sequences
    }
}
