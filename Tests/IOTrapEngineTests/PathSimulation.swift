@testable import IOTrapEngine

/// Storage behind one path or several, in virtual time: what waits is served in order by so many
/// servers; after that come the way there and back.
final class SimulatedStorage {
    /// Bytes a second; 0: no limit.
    var rateBytes: UInt64
    /// Of each request, on one server.
    var serviceNanoseconds: UInt64 = 0
    /// Of each request, beside others.
    var latencyNanoseconds: UInt64 = 0
    /// Rate saved up while idle, as bytes.
    var burstBytes: UInt64 = 0
    /// Requests take up to so much longer, in percent.
    var jitterPercent: UInt64 = 0
    /// Requests end at multiples of this only, as where a timer gives out what is due; 0: any time.
    var tickNanoseconds: UInt64 = 0
    private var freeTimes: [UInt64]

    init(rateBytes: UInt64, servers: Int = 1) {
        self.rateBytes = rateBytes
        freeTimes = Array(repeating: 0, count: servers)
    }

    /// When a request given to it now ends.
    func end(bytes: UInt64, now: UInt64, random: inout SimulatedRandom) -> UInt64 {
        let server = freeTimes.indices.min { freeTimes[$0] < freeTimes[$1] }!
        var service = serviceNanoseconds
        if rateBytes != 0 { service += bytes * 1_000_000_000 / rateBytes }
        if jitterPercent != 0 { service += service * (random.next() % jitterPercent) / 100 }
        let saved = rateBytes == 0 ? 0 : burstBytes * 1_000_000_000 / rateBytes
        let start = max(freeTimes[server], now < saved ? 0 : now - saved)
        freeTimes[server] = start + service
        // A burst goes at the speed of the wire, some 10 GiB/s.
        let end = max(freeTimes[server], now + bytes / 10) + latencyNanoseconds
        return tickNanoseconds == 0 ? end : (end / tickNanoseconds + 1) * tickNanoseconds
    }

    /// Serves nothing that comes from now on until so much later.
    func stall(now: UInt64, nanoseconds: UInt64) {
        for server in freeTimes.indices { freeTimes[server] = now + nanoseconds }
    }
}

struct SimulatedRandom {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 33
    }
}

/// What a program does: so many requests in flight, each given out when one ended. Or one request
/// each so many nanoseconds. A request is one piece, several, or is cut by `PathScheduler.shares`.
struct SimulatedLoad {
    enum Cut { case whole, pieces(UInt64), shares(UInt64) }

    var bytes: UInt64
    var depth = 1
    var everyNanoseconds: UInt64 = 0
    var isBulk = true
    var cut = Cut.whole
    var prefersLast = false
    /// From when to when.
    var begins: UInt64 = 0
    var ends = UInt64.max
}

/// A pool of simulated paths under simulated loads.
final class PathSimulation {
    private struct Event {
        enum Kind { case ended(path: Int, piece: Int), arrives(load: Int), called(Int) }
        var time: UInt64
        var order: Int
        var kind: Kind
    }
    struct Piece {
        var load: Int
        var request: Int
        var path: Int
        var bytes: UInt64
        var began: UInt64
        var ended: UInt64 = 0
    }
    private struct Request {
        var left: Int
        var began: UInt64
    }

    let storages: [SimulatedStorage]
    let models: UnsafeMutablePointer<PathModel>
    let usable: UInt64
    var isProtected = false
    var loads: [SimulatedLoad] = []
    private(set) var pieces: [Piece] = []
    /// For each load: when its requests ended, and what they took.
    private(set) var ended: [[(time: UInt64, took: UInt64)]] = []
    private(set) var now: UInt64 = 10_000_000_000
    private var requests: [Request] = []
    private var waiting: [[Int]] = []
    private var lastPaths: [Int?] = []
    private var events: [Event] = []
    private var calls: [(PathSimulation) -> Void] = []
    private var eventOrder = 0
    private var random = SimulatedRandom(state: 1)
    private let beginning: UInt64 = 10_000_000_000

    init(_ storages: [SimulatedStorage], weights: [UInt32] = []) {
        self.storages = storages
        models = .allocate(capacity: storages.count)
        models.initialize(repeating: .idle, count: storages.count)
        for (path, weight) in weights.enumerated() { models[path].configure(weight: weight) }
        usable = storages.count == 64 ? .max : (1 << UInt64(storages.count)) - 1
    }

    deinit { models.deallocate() }

    /// Links of so many MiB/s each.
    convenience init(mebibytes rates: [UInt64]) {
        self.init(rates.map { SimulatedStorage(rateBytes: $0 << 20) })
    }

    /// Does something so many milliseconds after the beginning.
    func at(milliseconds: UInt64, _ call: @escaping (PathSimulation) -> Void) {
        calls.append(call)
        add(beginning + milliseconds * 1_000_000, .called(calls.count - 1))
    }

    func run(milliseconds: UInt64) {
        for load in loads.indices where load >= waiting.count {
            waiting.append([])
            lastPaths.append(nil)
            ended.append([])
            for _ in 0..<loads[load].depth {
                add(beginning + loads[load].begins, .arrives(load: load))
            }
        }
        let end = beginning + milliseconds * 1_000_000
        while let event = events.first, event.time <= end {
            removeFirst()
            now = event.time
            switch event.kind {
            case .called(let call): calls[call](self)
            case .arrives(let load): arrive(load)
            case .ended(let path, let piece): finish(path, piece)
            }
        }
        now = end
    }

    private func arrive(_ index: Int) {
        let load = loads[index]
        if now - beginning >= load.ends { return }
        if load.everyNanoseconds != 0 { add(now + load.everyNanoseconds, .arrives(load: index)) }
        let request = requests.count
        requests.append(Request(left: 0, began: now))
        switch load.cut {
        case .whole: queue(index, request, load.bytes)
        case .pieces(let size):
            for _ in 0..<load.bytes / size { queue(index, request, size) }
        case .shares(let size):
            withUnsafeTemporaryAllocation(of: PathShare.self, capacity: 64) { shares in
                let count = PathScheduler.shares(
                    models, usable: usable, bytes: load.bytes, unit: 4096, minimum: 64 << 10,
                    now: now, into: shares.baseAddress!)
                for share in shares[..<count] { give(index, request, share, by: size) }
            }
        }
        sendWaiting()
    }

    private func give(_ load: Int, _ request: Int, _ share: PathShare, by size: UInt64) {
        var left = share.bytes
        while left != 0 {
            let part = min(left, size)
            requests[request].left += 1
            add(piece: load, request, part)
            begin(pieces.count - 1, on: Int(share.path))
            left -= part
        }
    }

    private func add(piece load: Int, _ request: Int, _ bytes: UInt64) {
        pieces.append(Piece(load: load, request: request, path: -1, bytes: bytes, began: now))
    }

    private func queue(_ load: Int, _ request: Int, _ bytes: UInt64) {
        requests[request].left += 1
        add(piece: load, request, bytes)
        waiting[load].append(pieces.count - 1)
    }

    private func sendWaiting() {
        for load in waiting.indices {
            var sent = 0
            for piece in waiting[load] {
                guard
                    let path = PathScheduler.choose(
                        models, usable: usable, bytes: pieces[piece].bytes,
                        isBulk: loads[load].isBulk, isProtected: isProtected,
                        preferred: loads[load].prefersLast ? lastPaths[load] : nil, now: now)
                else { break }
                lastPaths[load] = path
                begin(piece, on: path)
                sent += 1
            }
            waiting[load].removeFirst(sent)
        }
    }

    private func begin(_ piece: Int, on path: Int) {
        let bytes = pieces[piece].bytes
        pieces[piece].path = path
        pieces[piece].began = now
        models[path].began(bytes: bytes, isBulk: loads[pieces[piece].load].isBulk, now: now)
        let end = storages[path].end(bytes: bytes, now: now, random: &random)
        add(end, .ended(path: path, piece: piece))
    }

    private func finish(_ path: Int, _ index: Int) {
        pieces[index].ended = now
        let piece = pieces[index]
        models[path].ended(
            bytes: piece.bytes, isBulk: loads[piece.load].isBulk, took: now - piece.began, now: now,
            failed: false)
        requests[piece.request].left -= 1
        if requests[piece.request].left == 0 {
            let began = requests[piece.request].began
            ended[piece.load].append((now, now - began))
            if loads[piece.load].everyNanoseconds == 0 { arrive(piece.load) }
        }
        sendWaiting()
    }

    // MARK: - Results

    /// Bytes a second that ended within those milliseconds, as MiB.
    func mebibytesPerSecond(
        from: UInt64, to: UInt64, where matches: (Piece) -> Bool = { _ in true }
    ) -> Double {
        let range = beginning + from * 1_000_000..<beginning + to * 1_000_000
        let bytes = pieces.filter { range.contains($0.ended) && matches($0) }
            .reduce(0) { $0 + $1.bytes }
        return Double(bytes) / 1_048_576 / (Double(to - from) / 1000)
    }

    /// What 99 of 100 requests of a load took at most, of those that ended after so long.
    func percentile99Nanoseconds(load: Int, from: UInt64) -> UInt64 {
        let times = ended[load].filter { $0.time >= beginning + from * 1_000_000 }.map(\.took)
        return times.sorted()[times.count * 99 / 100]
    }

    /// Bytes of each path, as parts of all that ended after so long.
    func parts(from: UInt64) -> [Double] {
        var parts = Array(repeating: 0.0, count: storages.count)
        for piece in pieces where piece.ended >= beginning + from * 1_000_000 {
            parts[piece.path] += Double(piece.bytes)
        }
        let sum = parts.reduce(0, +)
        return parts.map { $0 / sum }
    }

    // MARK: - Events: a heap by time, then by order

    private func add(_ time: UInt64, _ kind: Event.Kind) {
        eventOrder += 1
        events.append(Event(time: time, order: eventOrder, kind: kind))
        var index = events.count - 1
        while index > 0, isBefore(index, (index - 1) / 2) {
            events.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private func removeFirst() {
        events.swapAt(0, events.count - 1)
        events.removeLast()
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < events.count && isBefore(child, least) {
                least = child
            }
            if least == index { return }
            events.swapAt(index, least)
            index = least
        }
    }

    private func isBefore(_ one: Int, _ other: Int) -> Bool {
        (events[one].time, events[one].order) < (events[other].time, events[other].order)
    }
}
