import CIOTrapEngine

/// Memory of the engine's own that reads go to first, so that a read that was given up cannot write
/// into the program's memory afterwards. Bounded: when all is taken, reads go to the program's
/// memory at once, and are waited for.
struct PoolBuffers {
    /// Bytes of all buffers together.
    static let totalBytes = 64 << 20
    static let limit = 256

    private var base: UInt = 0
    private var size = 0
    private var count = 0
    private var used = InlineArray<4, UInt64>(repeating: 0)

    init() {}

    /// Takes a buffer of at least so many bytes: its number + 1; 0 when there is none.
    mutating func take(bytes: UInt64, size wanted: UInt64) -> UInt32 {
        if base == 0 && !make(Int(wanted)) { return 0 }
        guard bytes <= UInt64(size) else { return 0 }
        for word in 0..<4 {
            let bit = (~used[word]).trailingZeroBitCount
            let index = word * 64 + bit
            if bit < 64 && index < count {
                used[word] |= 1 << UInt64(bit)
                return UInt32(index) + 1
            }
        }
        return 0
    }

    mutating func give(_ number: UInt32) {
        guard number != 0 else { return }
        let index = number - 1
        used[Int(index / 64)] &= ~(1 << UInt64(index % 64))
    }

    func address(_ number: UInt32) -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(bitPattern: base + UInt(number - 1) * UInt(size))!
    }

    /// Bytes of one.
    var bytes: Int { size }

    private mutating func make(_ wanted: Int) -> Bool {
        guard let pages = iotrap_pages(PoolBuffers.totalBytes, 1) else { return false }
        base = UInt(bitPattern: pages)
        size = max(wanted, PoolBuffers.totalBytes / PoolBuffers.limit)
        count = min(PoolBuffers.limit, PoolBuffers.totalBytes / size)
        return true
    }

    static func free(_ buffers: PoolBuffers) {
        guard let pages = UnsafeMutableRawPointer(bitPattern: buffers.base) else { return }
        iotrap_pages_free(pages, totalBytes)
    }
}
