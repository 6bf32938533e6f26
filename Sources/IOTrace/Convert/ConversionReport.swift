/// What came of a conversion: how much was converted, and what got lost because the other format
/// has no words for it.
public struct ConversionReport: Equatable, Sendable {
    /// Events written.
    public internal(set) var events: UInt64 = 0
    /// What was lost, with the number of events or lines, the most frequent first.
    public var losses: [(what: String, count: UInt64)] {
        counts.map { ($0.key, $0.value) }.sorted { ($1.1, $0.0) < ($0.1, $1.0) }
    }
    /// How far the trace went that was exported.
    public internal(set) var end = TraceReader.End.complete

    private var counts: [String: UInt64] = [:]

    /// Counts something that got lost.
    mutating func lose(_ what: String, _ count: UInt64 = 1) {
        counts[what, default: 0] += count
    }
}
