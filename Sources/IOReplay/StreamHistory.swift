import CIOReplay

/// Where in the order of the replay the latest events of each stream went: dependencies are
/// distances within a stream, and the replayer counts across all of them.
struct StreamHistory {
    private final class Ring {
        var sequences = [UInt64](repeating: 0, count: 64)
        var count: UInt64 = 0
    }

    private var rings: [UInt32: Ring] = [:]
    private var last: (stream: UInt32, ring: Ring)?
    private static let window = UInt64(IOTRAP_REPLAY_WINDOW)
    /// In the place of an event that is not replayed.
    private static let none = UInt64.max

    /// Appends an event; nil: one that is not replayed.
    mutating func append(_ sequence: UInt64?, stream: UInt32) {
        let ring = ring(of: stream)
        let size = UInt64(ring.sequences.count)
        let oldest = ring.sequences[Int(ring.count % size)]
        // What is outside the window is complete for certain and may be forgotten.
        if let sequence, ring.count >= size, oldest != Self.none, sequence &- oldest < Self.window {
            Self.grow(ring)
        }
        ring.sequences[Int(ring.count % UInt64(ring.sequences.count))] = sequence ?? Self.none
        ring.count += 1
    }

    /// How far back in the replay the event is that lies `distance` back in a stream, of which
    /// `sequence` is the next; 0 for one that is complete for certain.
    mutating func distance(_ distance: UInt32, stream: UInt32, sequence: UInt64) -> UInt32 {
        if distance == 0 { return 0 }
        let ring = ring(of: stream)
        let back = UInt64(distance)
        guard back <= ring.count, back <= UInt64(ring.sequences.count) else { return 0 }
        let found = ring.sequences[Int((ring.count - back) % UInt64(ring.sequences.count))]
        if found == Self.none { return 0 }
        return sequence - found < Self.window ? UInt32(sequence - found) : 0
    }

    private mutating func ring(of stream: UInt32) -> Ring {
        if let last, last.stream == stream { return last.ring }
        let ring = rings[stream] ?? Ring()
        rings[stream] = ring
        last = (stream, ring)
        return ring
    }

    private static func grow(_ ring: Ring) {
        let size = UInt64(ring.sequences.count)
        var sequences = [UInt64](repeating: 0, count: Int(size) * 2)
        for back in 1...min(ring.count, size) {
            let index = ring.count - back
            sequences[Int(index % (size * 2))] = ring.sequences[Int(index % size)]
        }
        ring.sequences = sequences
    }
}
