import IOTrace

/// The events of a trace in the order of their times.
///
/// An ordered trace is read as it is replayed. Another one is sorted in memory, which bounds its
/// length; an event then comes after those that it depends on, whatever the times say.
struct EventSource: ~Copyable {
    /// Events of a trace that is not ordered, at most.
    static let sortedMax = 1_000_000

    private var reader: TraceReader
    private let sorted: [TraceEvent]
    private var next = 0
    private let isSorted: Bool

    /// Opens the trace of a plan; throws for one that is too long to be sorted.
    static func open(_ plan: ReplayPlan) throws(ReplayError) -> EventSource {
        if !plan.isOrdered && plan.eventCount > UInt64(Self.sortedMax) {
            throw ReplayError(
                "\(plan.path): is not ordered by time and has more than \(Self.sortedMax) events; "
                    + "replay a shorter part of it")
        }
        var reader = try open(plan.path)
        let sorted = plan.isOrdered ? [] : try sort(&reader)
        return EventSource(reader, sorted, isSorted: !plan.isOrdered)
    }

    private init(_ reader: consuming TraceReader, _ sorted: [TraceEvent], isSorted: Bool) {
        self.reader = reader
        self.sorted = sorted
        self.isSorted = isSorted
    }

    private static func open(_ path: String) throws(ReplayError) -> TraceReader {
        do throws(TraceError) {
            return try TraceReader(path: path)
        } catch {
            throw ReplayError(error.description)
        }
    }

    mutating func nextEvent() throws(ReplayError) -> TraceEvent? {
        if isSorted {
            if next == sorted.count { return nil }
            next += 1
            return sorted[next - 1]
        }
        do throws(TraceError) {
            return try reader.next()
        } catch {
            throw ReplayError(error.description)
        }
    }

    private static func sort(_ reader: inout TraceReader) throws(ReplayError) -> [TraceEvent] {
        var events: [TraceEvent] = []
        do throws(TraceError) {
            while let event = try reader.next() { events.append(event) }
        } catch {
            throw ReplayError(error.description)
        }
        return sort(events)
    }

    private static func sort(_ events: [TraceEvent]) -> [TraceEvent] {
        // Positions of each stream's events, to find what an event depends on.
        var streams: [UInt32: [Int]] = [:]
        var times = events.map(\.submitNanoseconds)
        for (position, event) in events.enumerated() {
            let before = streams[event.stream, default: []]
            for distance in [event.after, event.after2]
            where distance > 0 && Int(distance) <= before.count {
                times[position] = max(times[position], times[before[before.count - Int(distance)]])
            }
            streams[event.stream, default: []].append(position)
        }
        let order = events.indices.sorted { a, b in
            (times[a], events[a].stream, events[a].index)
                < (times[b], events[b].stream, events[b].index)
        }
        return order.map { events[$0] }
    }
}
