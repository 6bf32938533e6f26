/// One part of a load: files, and the threads that read or write them in one way.
@dynamicMemberLookup
struct LoadPlan: Sendable {
    var name = ""
    var directory = ""
    var sizes: [(bytes: UInt64, weight: Double)] = []
    /// The part that stands still in the critical phase.
    var pauses = ""
    /// The part that has to be at its end before this one begins.
    var startsAfter = ""
    var numbers = LoadNumbers()

    subscript<Value>(dynamicMember path: WritableKeyPath<LoadNumbers, Value>) -> Value {
        get { numbers[keyPath: path] }
        set { numbers[keyPath: path] = newValue }
    }

    /// Every key with its meaning, in the order of `--show`.
    static let keys: [(key: String, meaning: String)] = [
        ("directory", "where its files are, below the target"),
        ("files", "number of files"),
        ("file-size", "bytes of each; scaled"),
        ("grows", "yes: files begin empty"),
        ("open", "direct, direct-dsync or buffered"),
        ("call", "libaio, pread or posixaio"),
        ("channels", "threads, each with its own order, depth and rate"),
        ("shared", "yes: all channels use all files; no: each has its part"),
        ("sizes", "SIZE:WEIGHT,... of requests"),
        ("sizes-by", "requests or bytes: what the weights count"),
        ("read", "percent of requests that read"),
        ("order", "sequential, random, zipf or pages (random inside superblocks)"),
        ("zipf", "exponent of order=zipf"),
        ("superblock", "bytes of a superblock of order=pages"),
        ("align", "bytes that random offsets are multiples of"),
        ("depth", "requests in flight per channel, smallest and largest"),
        ("batch", "requests per submission, smallest and largest"),
        ("rate", "requests/s per channel; two numbers: a burst state and a calm one; 0: no limit"),
        ("dwell", "mean seconds in each of the two states"),
        ("first", "seconds until it begins"),
        ("every", "seconds from burst to burst, smallest and largest; 0: no bursts"),
        ("burst", "bytes of a burst, smallest and largest; scaled"),
        ("total", "bytes until it ends; scaled; 0: no end"),
        ("sync", "none, fsync or fdatasync"),
        ("sync-every", "writes from sync to sync; 0: at the end of a burst"),
        ("commit", "yes: a commit waits for each durable write"),
        ("latency", "mean microseconds of a request, beside its transfer"),
        ("flush", "mean microseconds of a sync"),
        ("bandwidth", "bytes/s per channel"),
        ("critical", "percent of a burst, at its end, that is the critical phase"),
        ("pauses", "the part that stands still in the critical phase"),
        ("after", "the part that must have ended before this one begins"),
    ]

    /// Sets a value. False when it is not understood.
    mutating func set(_ key: String, _ text: String) -> Bool {
        setFiles(key, text) ?? setRequests(key, text) ?? setTimes(key, text) ?? false
    }

    private mutating func setFiles(_ key: String, _ text: String) -> Bool? {
        switch key {
        case "directory":
            directory = text
            return TraceFile.normalized(text + "/x").path == text + "/x"
                && text.utf8.count <= 200
        case "files":
            return assign(UInt64(text).flatMap { (1...4096) ~= $0 ? $0 : nil }, \.numbers.files)
        case "file-size": return assign(Self.positive(text), \.numbers.fileBytes)
        case "grows": return assign(Self.yes(text), \.numbers.grows)
        case "open": return assign(LoadNumbers.Opening(rawValue: text), \.numbers.opening)
        case "call": return assign(LoadNumbers.Interface(rawValue: text), \.numbers.interface)
        case "channels":
            return assign(UInt64(text).flatMap { (1...256) ~= $0 ? $0 : nil }, \.numbers.channels)
        case "shared": return assign(Self.yes(text), \.numbers.sharesFiles)
        default: return nil
        }
    }

    private mutating func setRequests(_ key: String, _ text: String) -> Bool? {
        switch key {
        case "sizes": return assign(ParameterValue.sizes(text), \.sizes)
        case "sizes-by":
            numbers.weighsBytes = text == "bytes"
            return ["requests", "bytes"].contains(text)
        case "read": return assign(Self.percent(text), \.numbers.readPercent)
        case "order": return assign(LoadNumbers.Order(rawValue: text), \.numbers.order)
        case "zipf":
            return assign(
                ParameterValue.number(text).flatMap { $0 <= 10 ? $0 : nil }, \.numbers.zipf)
        case "superblock": return assign(Self.positive(text), \.numbers.superblockBytes)
        case "align": return assign(Self.positive(text), \.numbers.align)
        case "depth": return assign(Self.small(text), \.numbers.depth)
        case "batch": return assign(Self.small(text), \.numbers.batch)
        case "sync": return assign(LoadNumbers.Sync(rawValue: text), \.numbers.sync)
        case "sync-every": return assign(UInt64(text), \.numbers.syncEvery)
        case "commit": return assign(Self.yes(text), \.numbers.commits)
        default: return nil
        }
    }

    private mutating func setTimes(_ key: String, _ text: String) -> Bool? {
        switch key {
        case "rate":
            return assign(
                ParameterValue.numberRange(text).flatMap { $0.upperBound <= 1e9 ? $0 : nil }, \.rate
            )
        case "dwell":
            return assign(Self.seconds(text).flatMap { $0 > 0 ? $0 : nil }, \.numbers.dwellSeconds)
        case "first": return assign(Self.seconds(text), \.numbers.firstSeconds)
        case "every":
            return assign(
                ParameterValue.numberRange(text).flatMap { $0.upperBound <= 1e8 ? $0 : nil },
                \.numbers.everySeconds)
        case "burst": return assign(ParameterValue.sizeRange(text), \.numbers.burstBytes)
        case "total": return assign(ParameterValue.size(text), \.numbers.totalBytes)
        case "latency": return assign(Self.microseconds(text), \.numbers.latencyMicroseconds)
        case "flush": return assign(Self.microseconds(text), \.numbers.flushMicroseconds)
        case "bandwidth": return assign(Self.positive(text), \.numbers.bandwidthBytes)
        case "critical": return assign(Self.percent(text), \.numbers.criticalPercent)
        case "pauses":
            pauses = text
            return true
        case "after":
            startsAfter = text
            return true
        default: return nil
        }
    }

    private mutating func assign<Value>(
        _ value: Value?, _ path: WritableKeyPath<LoadPlan, Value>
    ) -> Bool {
        guard let value else { return false }
        self[keyPath: path] = value
        return true
    }

    private static func yes(_ text: String) -> Bool? { ["yes": true, "no": false][text] }

    private static func positive(_ text: String) -> UInt64? {
        ParameterValue.size(text).flatMap { $0 > 0 ? $0 : nil }
    }

    private static func percent(_ text: String) -> Double? {
        ParameterValue.number(text).flatMap { $0 <= 100 ? $0 : nil }
    }

    private static func seconds(_ text: String) -> Double? {
        ParameterValue.number(text).flatMap { $0 <= 1e8 ? $0 : nil }
    }

    private static func microseconds(_ text: String) -> Double? {
        ParameterValue.number(text).flatMap { $0 <= 1e9 ? $0 : nil }
    }

    private static func small(_ text: String) -> ClosedRange<UInt64>? {
        ParameterValue.countRange(text).flatMap {
            $0.lowerBound > 0 && $0.upperBound <= 4096 ? $0 : nil
        }
    }
}
