/// Reads JSON that a replay wrote.
struct JSONReader {
    /// A value.
    indirect enum Value {
        case null
        case boolean(Bool)
        case number(Double)
        /// A whole number without a sign, exactly.
        case unsigned(UInt64)
        case string(String)
        case array([Value])
        case object([String: Value])

        subscript(name: String) -> Value? {
            if case .object(let members) = self { return members[name] }
            return nil
        }
        var number: Double? {
            if case .number(let value) = self { return value }
            return unsigned.map { Double($0) }
        }
        var unsigned: UInt64? {
            if case .unsigned(let value) = self { return value }
            return nil
        }
        var string: String? {
            if case .string(let value) = self { return value }
            return nil
        }
        var array: [Value]? {
            if case .array(let values) = self { return values }
            return nil
        }
        var object: [String: Value]? {
            if case .object(let members) = self { return members }
            return nil
        }
    }

    private let bytes: [UInt8]
    private var next = 0
    private static let depthMax = 32

    /// Reads a whole text; nil if it is no JSON.
    static func read(_ bytes: [UInt8]) -> Value? {
        var reader = JSONReader(bytes: bytes)
        guard let value = reader.value(depth: 0) else { return nil }
        reader.skipBlanks()
        return reader.next == bytes.count ? value : nil
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    private mutating func skipBlanks() {
        while next < bytes.count, [0x20, 0x09, 0x0a, 0x0d].contains(bytes[next]) { next += 1 }
    }

    private mutating func take(_ text: String) -> Bool {
        skipBlanks()
        guard bytes[next...].starts(with: text.utf8) else { return false }
        next += text.utf8.count
        return true
    }

    private mutating func value(depth: Int) -> Value? {
        if depth > Self.depthMax { return nil }
        if take("null") { return .null }
        if take("true") { return .boolean(true) }
        if take("false") { return .boolean(false) }
        if take("{") { return object(depth: depth + 1) }
        if take("[") { return array(depth: depth + 1) }
        skipBlanks()
        if next < bytes.count, bytes[next] == UInt8(ascii: "\"") {
            return string().map { .string($0) }
        }
        let start = next
        while next < bytes.count, "+-.0123456789eE".utf8.contains(bytes[next]) { next += 1 }
        let text = String(decoding: bytes[start..<next], as: UTF8.self)
        if bytes[start..<next].allSatisfy({ 0x30...0x39 ~= $0 }), let value = UInt64(text) {
            return .unsigned(value)
        }
        return Double(text).map { .number($0) }
    }

    private mutating func array(depth: Int) -> Value? {
        var values: [Value] = []
        if take("]") { return .array([]) }
        while let value = value(depth: depth) {
            values.append(value)
            if take("]") { return .array(values) }
            if !take(",") { return nil }
        }
        return nil
    }

    private mutating func object(depth: Int) -> Value? {
        var members: [String: Value] = [:]
        if take("}") { return .object([:]) }
        while true {
            skipBlanks()
            guard let name = string(), take(":"), let value = value(depth: depth) else {
                return nil
            }
            members[name] = value
            if take("}") { return .object(members) }
            if !take(",") { return nil }
        }
    }

    private mutating func string() -> String? {
        guard next < bytes.count, bytes[next] == UInt8(ascii: "\"") else { return nil }
        next += 1
        var text: [UInt8] = []
        while next < bytes.count {
            let byte = bytes[next]
            next += 1
            if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
            if byte != UInt8(ascii: "\\") {
                text.append(byte)
                continue
            }
            guard let escaped = escape() else { return nil }
            text += Array(String(escaped).utf8)
        }
        return nil
    }

    private mutating func escape() -> Unicode.Scalar? {
        guard next < bytes.count else { return nil }
        let code = bytes[next]
        next += 1
        if code != UInt8(ascii: "u") {
            let plain: [UInt8: Unicode.Scalar] = [0x6e: "\n", 0x74: "\t", 0x72: "\r"]
            return plain[code] ?? Unicode.Scalar(code)
        }
        guard next + 4 <= bytes.count else { return nil }
        defer { next += 4 }
        let digits = String(decoding: bytes[next..<(next + 4)], as: UTF8.self)
        return UInt32(digits, radix: 16).flatMap(Unicode.Scalar.init)
    }
}
