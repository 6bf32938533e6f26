/// Hashes paths with a key of its own that is nowhere written down: equal paths stay equal within a
/// trace, files of one directory stay together, and nothing else can be learnt.
///
/// SipHash-2-4 with a result of 128 bits (Aumasson and Bernstein, 2012).
struct PathHash {
    private let key: (UInt64, UInt64)

    /// With a random key.
    init() {
        var generator = SystemRandomNumberGenerator()
        key = (generator.next(), generator.next())
    }

    /// With a key that is known.
    init(key: (UInt64, UInt64)) {
        self.key = key
    }

    /// Each component becomes the hash of the path as far as its end.
    func path(_ path: [UInt8]) -> String {
        let slash = UInt8(ascii: "/")
        let parts = path.indices.filter { index in
            path[index] != slash && (index + 1 == path.count || path[index + 1] == slash)
        }.map { name(path[...$0]) }
        let text = parts.joined(separator: "/")
        // Each name is longer than many a component.
        return text.utf8.count > 4095 ? name(path[...]) : text
    }

    private func name(_ bytes: ArraySlice<UInt8>) -> String {
        let (a, b) = hash(bytes)
        return Self.hexadecimal(a) + Self.hexadecimal(b)
    }

    private static func hexadecimal(_ value: UInt64) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }

    /// The hash of some bytes.
    func hash(_ bytes: ArraySlice<UInt8>) -> (UInt64, UInt64) {
        var state = State(key)
        var word: UInt64 = 0
        var count = 0
        for byte in bytes {
            word |= UInt64(byte) << (8 * UInt64(count % 8))
            count += 1
            if count % 8 == 0 {
                state.absorb(word)
                word = 0
            }
        }
        state.absorb(word | UInt64(count & 0xff) << 56)
        return state.result()
    }

    private struct State {
        private var v: (UInt64, UInt64, UInt64, UInt64)

        init(_ key: (UInt64, UInt64)) {
            v.0 = key.0 ^ 0x736f_6d65_7073_6575
            v.1 = key.1 ^ 0x646f_7261_6e64_6f6d ^ 0xee
            v.2 = key.0 ^ 0x6c79_6765_6e65_7261
            v.3 = key.1 ^ 0x7465_6462_7974_6573
        }

        mutating func absorb(_ word: UInt64) {
            v.3 ^= word
            round()
            round()
            v.0 ^= word
        }

        mutating func result() -> (UInt64, UInt64) {
            v.2 ^= 0xee
            for _ in 0..<4 { round() }
            let low = v.0 ^ v.1 ^ v.2 ^ v.3
            v.1 ^= 0xdd
            for _ in 0..<4 { round() }
            return (low, v.0 ^ v.1 ^ v.2 ^ v.3)
        }

        private static func rotate(_ value: UInt64, _ bits: UInt64) -> UInt64 {
            value << bits | value >> (64 - bits)
        }

        private mutating func round() {
            v.0 = v.0 &+ v.1
            v.1 = Self.rotate(v.1, 13) ^ v.0
            v.0 = Self.rotate(v.0, 32)
            v.2 = v.2 &+ v.3
            v.3 = Self.rotate(v.3, 16) ^ v.2
            v.0 = v.0 &+ v.3
            v.3 = Self.rotate(v.3, 21) ^ v.0
            v.2 = v.2 &+ v.1
            v.1 = Self.rotate(v.1, 17) ^ v.2
            v.2 = Self.rotate(v.2, 32)
        }
    }
}
