import CIOTrap
import CIOTrapEngine

/// One pool of the table while its configuration is read. Weights and the primary path are about
/// paths that may follow them, so they are looked at in the end.
struct PoolDraft {
    let table: UnsafeMutablePointer<iotrap_pool_table>
    /// Its place in the table.
    let index: UInt32
    /// What a fault of the whole pool is reported about.
    let heading: PoolSpan
    var weights: PoolSpan?
    var primary: PoolSpan?

    var pool: UnsafeMutablePointer<iotrap_pool_definition> { iotrap_pool_entry(table, index) }

    /// Makes room for a pool and gives it its name and the defaults.
    init(
        _ table: UnsafeMutablePointer<iotrap_pool_table>, _ text: PoolText, name: Range<Int>,
        heading: PoolSpan
    ) throws(PoolError) {
        let span = text.span(name)
        if name.isEmpty { throw heading.error(.noName) }
        for index in name where !Self.isAllowed(text.bytes[index]) { throw span.error(.badName) }
        if name.count >= Int(IOTRAP_POOL_NAME_BYTES) { throw span.error(.longName) }
        if Self.find(table, text, name) != nil { throw span.error(.duplicatePool) }
        if table.pointee.pool_count == IOTRAP_POOLS_MAX { throw span.error(.tooManyPools) }
        self.table = table
        self.heading = heading
        index = table.pointee.pool_count
        table.pointee.pool_count += 1
        pool.pointee.first_path = table.pointee.path_count
        pool.pointee.path_count = 0
        pool.pointee.primary = 0
        pool.pointee.flags = 0
        pool.pointee.chunk_bytes = 1 << 20
        pool.pointee.answer_within_ns = 1_000_000_000
        pool.pointee.hedge_tenths = 0
        pool.pointee.protect = IOTRAP_SETTING_AUTO.rawValue
        let bytes = iotrap_pool_name(pool)
        for offset in 0..<name.count {
            bytes[offset] = CChar(bitPattern: text.bytes[name.lowerBound + offset])
        }
        bytes[name.count] = 0
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
            UInt8(ascii: "."):
            true
        default: false
        }
    }

    /// The pool of that name.
    static func find(
        _ table: UnsafeMutablePointer<iotrap_pool_table>, _ text: PoolText, _ name: Range<Int>
    ) -> UInt32? {
        for index in 0..<table.pointee.pool_count {
            let other = iotrap_pool_name(iotrap_pool_entry(table, index))
            var length = 0
            while length < name.count,
                UInt8(bitPattern: other[length]) == text.bytes[name.lowerBound + length],
                other[length] != 0
            {
                length += 1
            }
            if length == name.count && other[length] == 0 { return index }
        }
        return nil
    }

    /// Takes a pool and its paths out; those behind move up.
    static func remove(_ index: UInt32, from table: UnsafeMutablePointer<iotrap_pool_table>) {
        let first = iotrap_pool_entry(table, index).pointee.first_path
        let count = iotrap_pool_entry(table, index).pointee.path_count
        table.pointee.path_count -= count
        for path in first..<table.pointee.path_count {
            iotrap_pool_path_entry(table, path).pointee =
                iotrap_pool_path_entry(table, path + count).pointee
        }
        table.pointee.pool_count -= 1
        for pool in index..<table.pointee.pool_count {
            iotrap_pool_entry(table, pool).pointee = iotrap_pool_entry(table, pool + 1).pointee
            iotrap_pool_entry(table, pool).pointee.first_path -= count
        }
    }

    /// Adds a path, without a slash at its end, after comparing it with all paths there are.
    func add(path range: Range<Int>, _ text: PoolText) throws(PoolError) {
        let span = text.span(range)
        if try text.scan(range, to: ": \t\n\r\u{0b}\u{0c}") != range.upperBound {
            throw span.error(.unquotedCharacter)
        }
        if pool.pointee.path_count == IOTRAP_POOL_PATHS_MAX {
            throw span.error(.tooManyPathsOfPool)
        }
        if table.pointee.path_count == IOTRAP_POOL_PATHS_TOTAL { throw span.error(.tooManyPaths) }
        let entry = iotrap_pool_path_entry(table, table.pointee.path_count)
        try write(span, text, to: entry)
        for other in 0..<table.pointee.path_count {
            let isOwn = other >= pool.pointee.first_path
            try Self.compare(entry, iotrap_pool_path_entry(table, other), isOwn: isOwn, span)
        }
        table.pointee.path_count += 1
        pool.pointee.path_count += 1
    }

    private func write(
        _ span: PoolSpan, _ text: PoolText,
        to entry: UnsafeMutablePointer<iotrap_pool_path_definition>
    ) throws(PoolError) {
        var reader = PoolPathReader(text, span.range)
        guard reader.isAbsolute else { throw span.error(.relativePath) }
        let target = iotrap_pool_path_text(entry)
        var length = 0
        while let byte = reader.next() {
            if byte == 0 { throw span.error(.zeroByte) }
            if length + 1 == Int(IOTRAP_POOL_PATH_BYTES) { throw span.error(.longPath) }
            target[length] = CChar(bitPattern: byte)
            length += 1
        }
        if reader.climbs { throw span.error(.climbingPath) }
        if length == 0 { throw span.error(.rootPath) }
        target[length] = 0
        entry.pointee.length = UInt32(length)
        entry.pointee.weight = 1
    }

    private static func compare(
        _ a: UnsafeMutablePointer<iotrap_pool_path_definition>,
        _ b: UnsafeMutablePointer<iotrap_pool_path_definition>, isOwn: Bool, _ span: PoolSpan
    ) throws(PoolError) {
        let shared = Int(min(a.pointee.length, b.pointee.length))
        let (first, second) = (iotrap_pool_path_text(a), iotrap_pool_path_text(b))
        for index in 0..<shared where first[index] != second[index] { return }
        if a.pointee.length == b.pointee.length {
            throw span.error(isOwn ? .samePath : .sharedPath)
        }
        let longer = a.pointee.length > b.pointee.length ? first : second
        if longer[shared] == CChar(UInt8(ascii: "/")) { throw span.error(.nestedPath) }
    }

    /// Checks what needs all paths to be known.
    func finish(_ text: PoolText) throws(PoolError) {
        if pool.pointee.path_count == 0 { throw heading.error(.noPath) }
        if let weights { try apply(weights: weights, text) }
        if let primary { try apply(primary: primary, text) }
    }

    private func apply(weights span: PoolSpan, _ text: PoolText) throws(PoolError) {
        var start = span.range.lowerBound
        var count: UInt32 = 0
        while start <= span.range.upperBound {
            var end = start
            while end < span.range.upperBound && text.bytes[end] != UInt8(ascii: ":") { end += 1 }
            guard let weight = text.number(start..<end), weight >= 1, weight <= 1_000_000 else {
                throw span.error(.badWeights)
            }
            if count == pool.pointee.path_count { throw span.error(.weightCount) }
            iotrap_pool_path_entry(table, pool.pointee.first_path + count).pointee.weight = weight
            count += 1
            start = end + 1
        }
        if count != pool.pointee.path_count { throw span.error(.weightCount) }
    }

    private func apply(primary span: PoolSpan, _ text: PoolText) throws(PoolError) {
        if let number = text.number(span.range), number >= 1, number <= pool.pointee.path_count {
            pool.pointee.primary = number - 1
            return
        }
        for index in 0..<pool.pointee.path_count {
            let entry = iotrap_pool_path_entry(table, pool.pointee.first_path + index)
            if Self.matches(entry, PoolPathReader(text, span.range)) {
                pool.pointee.primary = index
                return
            }
        }
        throw span.error(.badPrimary)
    }

    private static func matches(
        _ entry: UnsafeMutablePointer<iotrap_pool_path_definition>, _ reader: PoolPathReader
    ) -> Bool {
        var reader = reader
        let text = iotrap_pool_path_text(entry)
        var length = 0
        while let byte = reader.next() {
            guard length < Int(entry.pointee.length), text[length] == CChar(bitPattern: byte)
            else { return false }
            length += 1
        }
        return !reader.climbs && length == Int(entry.pointee.length)
    }
}
