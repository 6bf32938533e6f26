import CIOTrap
import CIOTrapEngine

extension PoolDraft {
    /// Takes one option.
    ///
    /// - Parameters:
    ///   - key: its name, without blanks around it.
    ///   - value: what stands behind the equals sign.
    mutating func set(
        _ key: Range<Int>, _ value: Range<Int>, _ text: PoolText
    ) throws(PoolError) {
        let item = text.span(key.lowerBound..<value.upperBound)
        guard Self.isOption(key, text) else { throw text.span(key).error(.unknownOption) }
        if value.isEmpty { throw item.error(.missingValue) }
        if text.equals(key, "coherent") {
            try set(IOTRAP_POOL_COHERENT, "no", "yes", .badYesNo, value, text, item)
        } else if text.equals(key, "same") {
            try set(IOTRAP_POOL_SAME, "no", "yes", .badYesNo, value, text, item)
        } else if text.equals(key, "bulk") {
            try set(
                IOTRAP_POOL_BULK_OFF_PRIMARY, "all", "off-primary", .badBulk, value, text, item)
        } else if text.equals(key, "weights") {
            weights = text.span(value)
        } else if text.equals(key, "primary") {
            primary = text.span(value)
        } else if text.equals(key, "chunk") {
            pool.pointee.chunk_bytes = try Self.chunk(value, text, item)
        } else if text.equals(key, "hedge") {
            pool.pointee.hedge_tenths = try Self.hedge(value, text, item)
        } else if text.equals(key, "answer-within") {
            pool.pointee.answer_within_ns = try Self.answer(value, text, item)
        } else {
            pool.pointee.protect = try Self.protect(value, text, item)
        }
    }

    private static func isOption(_ key: Range<Int>, _ text: PoolText) -> Bool {
        text.equals(key, "coherent") || text.equals(key, "same") || text.equals(key, "weights")
            || text.equals(key, "chunk") || text.equals(key, "primary")
            || text.equals(key, "bulk") || text.equals(key, "hedge")
            || text.equals(key, "answer-within") || text.equals(key, "protect")
    }

    /// Sets or clears a flag by the two words for it.
    private func set(
        _ flag: UInt32, _ no: StaticString, _ yes: StaticString, _ fault: PoolFault,
        _ value: Range<Int>, _ text: PoolText, _ item: PoolSpan
    ) throws(PoolError) {
        if text.equals(value, yes) {
            pool.pointee.flags |= flag
        } else if text.equals(value, no) {
            pool.pointee.flags &= ~flag
        } else {
            throw item.error(fault)
        }
    }

    private static func chunk(
        _ value: Range<Int>, _ text: PoolText, _ item: PoolSpan
    ) throws(PoolError) -> UInt64 {
        var digits = value
        var shift: UInt64 = 0
        switch text.bytes[value.upperBound - 1] {
        case UInt8(ascii: "K"), UInt8(ascii: "k"): shift = 10
        case UInt8(ascii: "M"), UInt8(ascii: "m"): shift = 20
        default: break
        }
        if shift != 0 { digits = value.lowerBound..<(value.upperBound - 1) }
        guard let count = text.number(digits) else { throw item.error(.badChunk) }
        let bytes = UInt64(count) << shift
        guard bytes >= 64 << 10, bytes <= 16 << 20, bytes % 4096 == 0 else {
            throw item.error(.badChunk)
        }
        return bytes
    }

    /// "99" or "99.5".
    private static func hedge(
        _ value: Range<Int>, _ text: PoolText, _ item: PoolSpan
    ) throws(PoolError) -> UInt32 {
        if text.equals(value, "off") { return 0 }
        var whole = value
        var tenth: UInt32 = 0
        if value.count == 4, text.bytes[value.lowerBound + 2] == UInt8(ascii: ".") {
            guard let digit = text.number((value.upperBound - 1)..<value.upperBound) else {
                throw item.error(.badHedge)
            }
            tenth = digit
            whole = value.lowerBound..<(value.lowerBound + 2)
        }
        guard let percent = text.number(whole), percent >= 50, percent <= 99 else {
            throw item.error(.badHedge)
        }
        return percent * 10 + tenth
    }

    /// "2", "2s" or "500ms", in nanoseconds.
    private static func answer(
        _ value: Range<Int>, _ text: PoolText, _ item: PoolSpan
    ) throws(PoolError) -> UInt64 {
        if text.equals(value, "off") { return 0 }
        var digits = value
        var unit: UInt64 = 1_000_000_000
        if value.count > 2, text.equals((value.upperBound - 2)..<value.upperBound, "ms") {
            unit = 1_000_000
            digits = value.lowerBound..<(value.upperBound - 2)
        } else if text.bytes[value.upperBound - 1] == UInt8(ascii: "s") {
            digits = value.lowerBound..<(value.upperBound - 1)
        }
        guard let count = text.number(digits), count >= 1,
            UInt64(count) * unit <= 3_600_000_000_000
        else { throw item.error(.badAnswer) }
        return UInt64(count) * unit
    }

    private static func protect(
        _ value: Range<Int>, _ text: PoolText, _ item: PoolSpan
    ) throws(PoolError) -> UInt32 {
        if text.equals(value, "on") { return IOTRAP_SETTING_ON.rawValue }
        if text.equals(value, "off") { return IOTRAP_SETTING_OFF.rawValue }
        if text.equals(value, "auto") { return IOTRAP_SETTING_AUTO.rawValue }
        throw item.error(.badProtect)
    }
}
