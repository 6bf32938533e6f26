import CIOTrap

/// Parses the texts of `IOTRAP_MODE` and `IOTRAP_SET`.
///
/// It works on bytes, without allocation, because the preloaded library runs it before the host
/// program has started. The command uses the same code, so both refuse the same things.
public struct ConfigurationParser {
    private let bytes: UnsafeBufferPointer<UInt8>

    /// - Parameter bytes: the text, without a terminating zero; it must outlive the parser.
    public init(_ bytes: UnsafeBufferPointer<UInt8>) {
        self.bytes = bytes
    }

    /// The text is one mode name.
    public func parseMode(into configuration: inout Configuration) throws(ConfigurationError) {
        let whole = 0..<bytes.count
        if equals(whole, "off") {
            configuration.mode = IOTRAP_MODE_OFF.rawValue
        } else if equals(whole, "observe") {
            configuration.mode = IOTRAP_MODE_OBSERVE.rawValue
        } else if equals(whole, "auto") {
            configuration.mode = IOTRAP_MODE_AUTO.rawValue
        } else if equals(whole, "force") {
            configuration.mode = IOTRAP_MODE_FORCE.rawValue
        } else {
            throw error(.unknownMode, whole)
        }
    }

    /// The text is `key=value` items separated by commas; empty items are ignored.
    /// The configuration is changed only as far as items before the refused one go.
    public func parseSettings(into configuration: inout Configuration) throws(ConfigurationError) {
        var start = 0
        while start <= bytes.count {
            var end = start
            while end < bytes.count && bytes[end] != UInt8(ascii: ",") { end += 1 }
            if end > start { try parseItem(start..<end, into: &configuration) }
            start = end + 1
        }
    }

    private func parseItem(
        _ item: Range<Int>, into configuration: inout Configuration
    ) throws(ConfigurationError) {
        var equal = item.lowerBound
        while equal < item.upperBound && bytes[equal] != UInt8(ascii: "=") { equal += 1 }
        let value = min(equal + 1, item.upperBound)..<item.upperBound
        try set(item.lowerBound..<equal, value, item, into: &configuration)
    }

    /// Takes one setting.
    ///
    /// - Parameters:
    ///   - key: where its name stands in the text.
    ///   - value: where its value stands.
    ///   - item: both, for errors.
    func set(
        _ key: Range<Int>, _ value: Range<Int>, _ item: Range<Int>,
        into configuration: inout Configuration
    ) throws(ConfigurationError) {
        guard isKnown(key) else { throw error(.unknownKey, key) }
        guard !value.isEmpty else { throw error(.missingValue, item) }

        if isTechnique(key) {
            try parseTechnique(key, value, item, into: &configuration)
        } else if equals(key, "split-chunk") {
            configuration.splitChunkBytes = try parseSize(value, item)
        } else if equals(key, "split-depth") {
            guard let depth = number(value), depth >= 1, depth <= 64 else {
                throw error(.badNumber, item)
            }
            configuration.splitDepth = UInt32(depth)
        } else if equals(key, "fault") {
            configuration.fault = try parseFault(value, item)
        } else {
            try parseChoice(key, value, item, into: &configuration)
        }
    }

    private func parseTechnique(
        _ key: Range<Int>, _ value: Range<Int>, _ item: Range<Int>,
        into configuration: inout Configuration
    ) throws(ConfigurationError) {
        let setting = try parseSwitch(value, item)
        if equals(key, "ring") {
            configuration.ring = setting
        } else if equals(key, "split") {
            configuration.split = setting
        } else if equals(key, "group-sync") {
            configuration.groupSync = setting
        } else if equals(key, "libaio") {
            configuration.libaio = setting
        } else if equals(key, "posix-aio") {
            configuration.posixAIO = setting
        } else if equals(key, "mount-pools") {
            configuration.mountPools = setting
        } else {
            configuration.offload = setting
        }
    }

    private func parseChoice(
        _ key: Range<Int>, _ value: Range<Int>, _ item: Range<Int>,
        into configuration: inout Configuration
    ) throws(ConfigurationError) {
        if equals(key, "sync-scope") {
            if equals(value, "auto") {
                configuration.syncScope = .automatic
            } else {
                let file = try choose(value, "descriptor", "file", item)
                configuration.syncScope = file ? .file : .descriptor
            }
        } else if equals(key, "aio-context") {
            configuration.emulatesContexts = try choose(value, "auto", "own", item)
        } else if equals(key, "backend") {
            configuration.usesRing = try choose(value, "plain", "uring", item)
        } else if equals(key, "io-uring") {
            configuration.insistsOnRing = try choose(value, "auto", "on", item)
        } else if equals(key, "ring-descriptor") {
            configuration.hidesRingDescriptor = try choose(value, "visible", "hidden", item)
        } else {
            configuration.followsExec = try choose(value, "off", "on", item)
        }
    }

    private func choose(
        _ value: Range<Int>, _ no: StaticString, _ yes: StaticString, _ item: Range<Int>
    ) throws(ConfigurationError) -> Bool {
        if equals(value, yes) { return true }
        if equals(value, no) { return false }
        throw error(.badChoice, item)
    }

    private func isKnown(_ key: Range<Int>) -> Bool {
        isTechnique(key) || equals(key, "split-chunk") || equals(key, "split-depth")
            || equals(key, "sync-scope") || equals(key, "aio-context") || equals(key, "backend")
            || equals(key, "io-uring") || equals(key, "ring-descriptor") || equals(key, "follow")
            || equals(key, "fault")
    }

    private func isTechnique(_ key: Range<Int>) -> Bool {
        equals(key, "ring") || equals(key, "split") || equals(key, "group-sync")
            || equals(key, "libaio") || equals(key, "posix-aio") || equals(key, "offload")
            || equals(key, "mount-pools")
    }

    private func parseSwitch(
        _ value: Range<Int>, _ item: Range<Int>
    ) throws(ConfigurationError) -> UInt8 {
        if equals(value, "on") { return UInt8(IOTRAP_SETTING_ON.rawValue) }
        if equals(value, "off") { return UInt8(IOTRAP_SETTING_OFF.rawValue) }
        if equals(value, "auto") { return UInt8(IOTRAP_SETTING_AUTO.rawValue) }
        throw error(.badSwitch, item)
    }

    private func parseSize(
        _ value: Range<Int>, _ item: Range<Int>
    ) throws(ConfigurationError) -> UInt64 {
        var digits = value
        var shift: UInt64 = 0
        if let last = digits.last {
            switch bytes[last] {
            case UInt8(ascii: "K"), UInt8(ascii: "k"): shift = 10
            case UInt8(ascii: "M"), UInt8(ascii: "m"): shift = 20
            default: break
            }
        }
        if shift != 0 { digits = digits.lowerBound..<(digits.upperBound - 1) }
        guard let count = number(digits), count > 0, count <= (64 << 20) >> shift,
            (count << shift) % 4096 == 0
        else { throw error(.badSize, item) }
        return count << shift
    }

    /// `errno:5@7` or `short:512@3`.
    private func parseFault(
        _ value: Range<Int>, _ item: Range<Int>
    ) throws(ConfigurationError) -> FaultRule {
        guard let colon = value.first(where: { bytes[$0] == UInt8(ascii: ":") }),
            let at = value.first(where: { bytes[$0] == UInt8(ascii: "@") }), at > colon,
            let argument = number((colon + 1)..<at), argument > 0, argument <= 1 << 30,
            let period = number((at + 1)..<value.upperBound), period > 0, period <= 1 << 30
        else { throw error(.badFault, item) }
        let kind = value.lowerBound..<colon
        var rule = FaultRule()
        rule.period = UInt32(period)
        if equals(kind, "errno"), argument < 4096 {
            rule.error = -Int32(argument)
        } else if equals(kind, "short") {
            rule.shortBytes = Int32(argument)
        } else {
            throw error(.badFault, item)
        }
        return rule
    }

    private func number(_ range: Range<Int>) -> UInt64? {
        guard !range.isEmpty, range.count <= 12 else { return nil }
        var value: UInt64 = 0
        for index in range {
            let byte = bytes[index]
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            value = value * 10 + UInt64(byte - UInt8(ascii: "0"))
        }
        return value
    }

    private func equals(_ range: Range<Int>, _ text: StaticString) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<range.count
        where bytes[range.lowerBound + index] != text.utf8Start[index] {
            return false
        }
        return true
    }

    private func error(_ fault: ConfigurationFault, _ range: Range<Int>) -> ConfigurationError {
        ConfigurationError(fault: fault, start: range.lowerBound, count: range.count)
    }
}
