import IOTrace

/// Finds out how many requests of a thread were in flight from the times of a trace.
struct RecordedDepth {
    /// Completion times of what is in flight, a heap with the earliest first, for each source.
    private var ends: [[UInt64]]
    /// More than the replayer has in flight.
    private static let limit = 1024

    init(sources: Int) {
        ends = [[UInt64]](repeating: [], count: sources)
    }

    /// The depth once an event was submitted, it included.
    mutating func submit(_ event: TraceEvent, source: Int) -> UInt32 {
        while let first = ends[source].first, first <= event.submitNanoseconds {
            removeFirst(source)
        }
        // What never ended would count for ever.
        if event.isComplete && ends[source].count < Self.limit {
            insert(event.completeNanoseconds, source)
        }
        return UInt32(max(1, ends[source].count))
    }

    private mutating func insert(_ time: UInt64, _ source: Int) {
        ends[source].append(time)
        var child = ends[source].count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if ends[source][parent] <= ends[source][child] { return }
            ends[source].swapAt(parent, child)
            child = parent
        }
    }

    private mutating func removeFirst(_ source: Int) {
        let last = ends[source].removeLast()
        if ends[source].isEmpty { return }
        ends[source][0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < ends[source].count && ends[source][child] < ends[source][least] {
                least = child
            }
            if least == parent { return }
            ends[source].swapAt(parent, least)
            parent = least
        }
    }
}
