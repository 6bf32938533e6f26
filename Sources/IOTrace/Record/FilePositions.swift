import CIOTrap

/// Gives calls at a file position their offsets.
///
/// Records of such calls say by how much they moved a position, and now and then there is one of
/// where the position was found. What was moved since is added up, in the order in which the calls
/// ended; once the position is found where it should be, those calls have their offsets. When it is
/// found elsewhere, something unseen has moved it, and nobody knows before which of them: they are
/// left out and counted. All other records pass, in the order in which they came.
struct FilePositions {
    /// A record with where it came from.
    struct Entry {
        var record: RawRecord
        var process: Int
        var stream: UInt32
    }

    /// What is known of the offset of a record.
    private enum State {
        case known
        case waiting
        case unknown
    }

    private struct Waiting {
        var entry: Entry
        /// The position, of a call at one.
        var key: UInt64 = 0
        var state = State.known
        /// Whether the offset may be that of another call.
        var isAssumed = false
    }

    /// Calls whose range may be that of another one that ran at the same time.
    private(set) var sharedCount: UInt64 = 0
    /// Calls after the last look at their position.
    private(set) var unconfirmedCount: UInt64 = 0
    /// Calls that were left out because their offset is not known.
    private(set) var unknownCount: UInt64 = 0

    private var positions: [UInt64: FilePosition] = [:]
    /// Positions of which more may come.
    var followedCount: Int { positions.count }

    /// Records from the number `first` on.
    private var queue: [Waiting] = []
    private var head = 0
    private var first: UInt64 = 0
    private var now: UInt64 = 0
    private var isAtEnd = false
    /// Records that wait at most; the oldest then goes on unconfirmed.
    private let waitingMax: Int

    init(waitingMax: Int = 1 << 18) {
        self.waitingMax = waitingMax
    }

    /// Takes the next record in the order of time.
    mutating func put(_ entry: Entry) {
        now = entry.record.time
        let number = first + UInt64(queue.count - head)
        let key = UInt64(entry.process) << 32 | entry.record.offset & 0xffff_ffff
        switch entry.record.kind {
        case .moved:
            queue.append(Waiting(entry: entry, key: key, state: .waiting))
            positions[key, default: FilePosition()].insert(entry.record, number)
        case .position:
            positions[key, default: FilePosition()].insert(entry.record, nil)
            // What ran with the last one has begun before it.
            let isLast = entry.record.flags & IOTRAP_RECORD_POSITION_LAST != 0
            settle(key, until: isLast ? .max : now)
        default: queue.append(Waiting(entry: entry))
        }
    }

    /// There are no more.
    mutating func end() { isAtEnd = true }

    /// The next record that can go on; nil when there is none yet.
    mutating func next() -> Entry? {
        while head < queue.count {
            if queue[head].state == .waiting {
                let key = queue[head].key
                settle(key, until: now)
                if queue[head].state == .waiting {
                    if !isAtEnd && queue.count - head <= waitingMax { return nil }
                    settle(key, until: .max)
                    if queue[head].state == .waiting { unconfirmedCount += 1 }
                }
            }
            let waiting = take()
            if waiting.state == .unknown {
                unknownCount += 1
                continue
            }
            if waiting.isAssumed || waiting.entry.record.isAssumed { sharedCount += 1 }
            return waiting.entry
        }
        return nil
    }

    private mutating func take() -> Waiting {
        var waiting = queue[head]
        if waiting.entry.record.kind == .moved { waiting.entry.record.kind = .event }
        head += 1
        first += 1
        if head > 4096 && head * 2 > queue.count {
            queue.removeFirst(head)
            head = 0
        }
        return waiting
    }

    /// Works out what is over at a time.
    private mutating func settle(_ key: UInt64, until time: UInt64) {
        guard let index = positions.index(forKey: key) else { return }
        while let outcome = positions.values[index].settle(until: time) {
            switch outcome {
            case .moved(let number, let offset, let isAssumed):
                guard let place = place(number) else { continue }
                queue[place].entry.record.offset = offset
                queue[place].isAssumed = isAssumed
            case .decided(let numbers, let isKnown, let isAssumed):
                for number in numbers {
                    guard let place = place(number) else { continue }
                    queue[place].state = isKnown ? .known : .unknown
                    if isAssumed { queue[place].isAssumed = true }
                }
            }
        }
        if positions.values[index].isOver { positions.remove(at: index) }
    }

    /// Where a record waits; nil when it has gone on.
    private func place(_ number: UInt64) -> Int? {
        number >= first ? head + Int(number - first) : nil
    }
}

/// One file position of one process.
struct FilePosition {
    /// What came of a record.
    enum Outcome {
        /// A call has its offset, if nothing unseen happened.
        case moved(number: UInt64, offset: UInt64, isAssumed: Bool)
        /// Nothing unseen happened to these calls, or something did.
        case decided(numbers: [UInt64], isKnown: Bool, isAssumed: Bool)
    }

    private struct Item {
        var record: RawRecord
        /// Of a call, nil for a look.
        var number: UInt64?

        var end: UInt64 { record.time &+ record.latency }
        var bytes: UInt64 { number == nil ? 0 : UInt64(max(0, record.result)) }
        /// Whether the position is another one afterwards.
        var isMover: Bool { record.result > 0 || number == nil && (isSet || record.result != 0) }
        /// Whether a read found the end of the file.
        var isAtEnd: Bool {
            record.result == 0 && record.length > 0
                && UInt32(record.operation) == IOTRAP_TRACE_OP_READ.rawValue
        }
        var isSet: Bool { record.flags & IOTRAP_RECORD_POSITION_SET != 0 }
    }

    /// Where the position is, by what has ended.
    private var offset: UInt64 = 0
    /// Whether a seek ran at the same time as something else.
    private var isVague = false
    /// What may not have ended, in the order of its end.
    private var items: [Item] = []
    /// The last movers that have ended: they matter while what they ran with has not.
    private var ended: [Item] = []
    /// Calls that have an offset, and wait for a look.
    private var unconfirmed: [UInt64] = []
    private var isLast = false

    /// Whether nothing more can come of it.
    var isOver: Bool { isLast && items.isEmpty && unconfirmed.isEmpty }

    /// Takes a record; they come in the order of their start.
    mutating func insert(_ record: RawRecord, _ number: UInt64?) {
        let item = Item(record: record, number: number)
        var place = items.count
        while place > 0, items[place - 1].end > item.end { place -= 1 }
        items.insert(item, at: place)
    }

    /// Works out the next record that is over at a time; nil when there is none.
    mutating func settle(until time: UInt64) -> Outcome? {
        while let item = items.first, item.end <= time {
            items.removeFirst()
            if !ended.isEmpty {
                let earliest = items.reduce(item.record.time) { min($0, $1.record.time) }
                ended.removeAll { $0.end <= earliest }
            }
            let isAlone =
                !items.contains { $0.isMover && $0.record.time < item.end }
                && !ended.contains { $0.end > item.record.time }
            defer { if item.isMover { ended.append(item) } }
            guard let number = item.number else {
                if let outcome = look(item, isAlone) { return outcome }
                continue
            }
            var place = offset
            offset &+= item.bytes
            if item.isAtEnd {
                // What ran with it and has read something did so before.
                for other in items where other.record.time < item.end { place &+= other.bytes }
            }
            unconfirmed.append(number)
            return .moved(number: number, offset: place, isAssumed: !isAlone || isVague)
        }
        if isLast, items.isEmpty, !unconfirmed.isEmpty {
            return decide(isKnown: true, isAssumed: true)
        }
        return nil
    }

    private mutating func look(_ item: Item, _ isAlone: Bool) -> Outcome? {
        let found = item.record.length
        if item.record.flags & IOTRAP_RECORD_POSITION_LAST != 0 { isLast = true }
        if item.isSet {
            offset = found
            isVague = !isAlone
            return nil
        }
        let before = found &- UInt64(bitPattern: item.record.result)
        var isKnown = offset == before
        if !isAlone {
            // Calls that ran with it are in what was found, or are not.
            let least = ended.filter { $0.end > item.record.time }.reduce(offset) {
                $0 &- min($1.bytes, $0)
            }
            let most = items.filter { $0.record.time < item.end }.reduce(offset) { $0 &+ $1.bytes }
            isKnown = least <= before && before <= most
        }
        isVague = !isAlone && (isVague || !isKnown || item.record.result != 0)
        offset = isAlone || !isKnown ? found : offset &+ UInt64(bitPattern: item.record.result)
        return decide(isKnown: isKnown, isAssumed: !isAlone)
    }

    private mutating func decide(isKnown: Bool, isAssumed: Bool) -> Outcome {
        defer { unconfirmed = [] }
        return .decided(numbers: unconfirmed, isKnown: isKnown, isAssumed: isAssumed)
    }
}
