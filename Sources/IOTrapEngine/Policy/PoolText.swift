/// A part of a text, and its line when that is a file.
struct PoolSpan: Equatable {
    var range: Range<Int>
    var line: Int

    func error(_ fault: PoolFault) -> PoolError {
        PoolError(fault, start: range.lowerBound, count: range.count, line: line)
    }
}

/// Bytes with quotes and escapes in them, looked at where they are.
///
/// Double quotes take the meaning from separators between them, a backslash from the byte that
/// follows it, inside quotes and outside.
struct PoolText {
    let bytes: UnsafeBufferPointer<UInt8>
    /// Line that errors name; 0: none.
    var line = 0

    static let quote = UInt8(ascii: "\"")
    static let backslash = UInt8(ascii: "\\")
    static var blanks: StaticString { " \t\n\r\u{0b}\u{0c}" }

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        self.bytes = bytes
    }

    func span(_ range: Range<Int>) -> PoolSpan { PoolSpan(range: range, line: line) }

    /// Where the first separator stands that is neither quoted nor escaped; the end without one.
    func scan(_ range: Range<Int>, to separators: StaticString) throws(PoolError) -> Int {
        var index = range.lowerBound
        var isQuoted = false
        while index < range.upperBound {
            let byte = bytes[index]
            if byte == Self.backslash {
                index += 1
            } else if byte == Self.quote {
                isQuoted.toggle()
            } else if !isQuoted && Self.has(separators, byte) {
                return index
            }
            index += 1
        }
        if isQuoted || index > range.upperBound { throw span(range).error(.unterminatedQuote) }
        return index
    }

    /// The range without blanks at its ends.
    func trimmed(_ range: Range<Int>) -> Range<Int> {
        var start = range.lowerBound
        var end = range.upperBound
        while start < end && Self.has(Self.blanks, bytes[start]) { start += 1 }
        while end > start && Self.has(Self.blanks, bytes[end - 1]) { end -= 1 }
        return start..<end
    }

    func equals(_ range: Range<Int>, _ text: StaticString) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<range.count
        where bytes[range.lowerBound + index] != text.utf8Start[index] {
            return false
        }
        return true
    }

    /// A whole number in decimal of at most nine digits.
    func number(_ range: Range<Int>) -> UInt32? {
        guard !range.isEmpty, range.count <= 9 else { return nil }
        var value: UInt32 = 0
        for index in range {
            let byte = bytes[index]
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            value = value * 10 + UInt32(byte - UInt8(ascii: "0"))
        }
        return value
    }

    static func has(_ set: StaticString, _ byte: UInt8) -> Bool {
        for index in 0..<set.utf8CodeUnitCount where set.utf8Start[index] == byte { return true }
        return false
    }
}

/// Yields the bytes of a path without quotes and escapes, with '//' and '/./' as one slash and
/// without slashes at its end. The root directory yields none.
struct PoolPathReader {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var position: Int
    private let limit: Int
    /// The path has '..' in it; nothing follows.
    private(set) var climbs = false

    /// - Parameter range: a part whose quotes and escapes are known to end in it.
    init(_ text: PoolText, _ range: Range<Int>) {
        bytes = text.bytes
        position = range.lowerBound
        limit = range.upperBound
    }

    /// True when what has not been read begins with a slash.
    var isAbsolute: Bool {
        var copy = self
        return copy.plain() == UInt8(ascii: "/")
    }

    mutating func next() -> UInt8? {
        guard let byte = plain() else { return nil }
        if byte != UInt8(ascii: "/") { return byte }
        while true {
            var ahead = self
            guard let first = ahead.plain() else { return nil }
            if first == UInt8(ascii: "/") {
                self = ahead
                continue
            }
            if first != UInt8(ascii: ".") { return byte }
            var beyond = ahead
            let second = beyond.plain()
            if second == nil || second == UInt8(ascii: "/") {
                self = ahead
                continue
            }
            if second != UInt8(ascii: ".") { return byte }
            let third = beyond.plain()
            if third != nil && third != UInt8(ascii: "/") { return byte }
            climbs = true
            position = limit
            return nil
        }
    }

    private mutating func plain() -> UInt8? {
        while position < limit {
            var byte = bytes[position]
            position += 1
            if byte == PoolText.quote { continue }
            if byte == PoolText.backslash && position < limit {
                byte = bytes[position]
                position += 1
            }
            return byte
        }
        return nil
    }
}
