/// A parameter of a profile: one line of `iotrap generate --show`.
public struct ProfileParameter: Sendable {
    /// The name with the part of the load that it belongs to, such as "log.sizes".
    public let key: String
    /// The value as text.
    public internal(set) var value: String
    /// What it means, with its unit.
    public let meaning: String
}

/// Readers of values: each returns nil for what it does not understand.
enum ParameterValue {
    /// Bytes: a number with K, M, G or T behind it, or without; below 2^50.
    static func size(_ text: String) -> UInt64? {
        var digits = Substring(text)
        var shift: UInt64 = 0
        if let last = digits.last, let power = ["K", "M", "G", "T"].firstIndex(of: last) {
            shift = UInt64(power + 1) * 10
            digits.removeLast()
        }
        guard let number = UInt64(digits), number <= (1 << 50) >> shift else { return nil }
        return number << shift
    }

    /// A size, or a smallest and a largest one: "4G-22G".
    static func sizeRange(_ text: String) -> ClosedRange<UInt64>? { range(text, size) }

    /// A count, or a smallest and a largest one: "1-8".
    static func countRange(_ text: String) -> ClosedRange<UInt64>? {
        range(text) { UInt64($0) }
    }

    /// A number, or a smallest and a largest one: "500-5000".
    static func numberRange(_ text: String) -> ClosedRange<Double>? {
        range(text, number)
    }

    /// A finite number, not below 0.
    static func number(_ text: String) -> Double? {
        guard let value = Double(text), value >= 0, value <= 1e12 else { return nil }
        return value
    }

    /// Sizes with weights: "4K:85,8K:15".
    static func sizes(_ text: String) -> [(bytes: UInt64, weight: Double)]? {
        var sizes: [(UInt64, Double)] = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = item.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, let bytes = size(String(parts[0])), bytes > 0,
                bytes <= 1 << 30, let weight = number(String(parts[1]))
            else { return nil }
            sizes.append((bytes, weight))
        }
        return sizes.reduce(0) { $0 + $1.1 } > 0 && sizes.count <= 64 ? sizes : nil
    }

    private static func range<Value: Comparable>(
        _ text: String, _ read: (String) -> Value?
    ) -> ClosedRange<Value>? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard let first = parts.first.flatMap({ read(String($0)) }), parts.count <= 2,
            let last = parts.last.flatMap({ read(String($0)) }), first <= last
        else { return nil }
        return first...last
    }
}
