/// Numbers of seven bits a byte, the lowest first.
enum Varint {
    /// The longest one, in bytes.
    static let bytesMax = 10

    /// A signed number as an unsigned one that is small when its magnitude is.
    @inline(__always)
    static func zigzag(_ value: Int64) -> UInt64 {
        UInt64(bitPattern: (value << 1) ^ (value >> 63))
    }

    /// The reverse of `zigzag`.
    @inline(__always)
    static func unzigzag(_ value: UInt64) -> Int64 {
        Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    /// Writes a number, for which there must be `bytesMax` bytes; returns where it ends.
    @inline(__always)
    static func put(
        _ value: UInt64, at start: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<UInt8> {
        var value = value
        var next = start
        while value >= 0x80 {
            next.pointee = UInt8(truncatingIfNeeded: value) | 0x80
            next += 1
            value >>= 7
        }
        next.pointee = UInt8(truncatingIfNeeded: value)
        return next + 1
    }

    /// The bytes of a number.
    static func bytes(_ value: UInt64) -> [UInt8] {
        var value = value
        var bytes: [UInt8] = []
        while value >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        return bytes + [UInt8(value)]
    }
}

/// Reads a payload from its start to its end.
struct PayloadCursor {
    private(set) var position = 0
    private let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    var isAtEnd: Bool { position == bytes.count }

    @inline(__always)
    mutating func byte() throws(TraceFault) -> UInt8 {
        guard position < bytes.count else { throw TraceFault(reason: .recordCount) }
        defer { position &+= 1 }
        return bytes[position]
    }

    @inline(__always)
    mutating func varint() throws(TraceFault) -> UInt64 {
        let first = try byte()
        if first < 0x80 { return UInt64(first) }
        return try longVarint(UInt64(first & 0x7f))
    }

    private mutating func longVarint(_ low: UInt64) throws(TraceFault) -> UInt64 {
        var value = low
        var shift: UInt64 = 7
        while true {
            let next = try byte()
            // The tenth byte has room for the 64th bit only.
            if shift == 63 && next > 1 { throw TraceFault(reason: .varint) }
            value |= UInt64(next & 0x7f) &<< shift
            if next < 0x80 { return value }
            shift &+= 7
        }
    }

    /// A number that must fit into 32 bits.
    @inline(__always)
    mutating func varint32() throws(TraceFault) -> UInt32 {
        let value = try varint()
        guard let narrow = UInt32(exactly: value) else { throw TraceFault(reason: .varint) }
        return narrow
    }

    @inline(__always)
    mutating func signed() throws(TraceFault) -> Int64 { Varint.unzigzag(try varint()) }

    /// The next bytes, whose number the payload says.
    mutating func counted(limit: UInt64, _ name: String) throws(TraceFault)
        -> UnsafeRawBufferPointer
    {
        let count = try varint()
        if count > limit {
            throw TraceFault(reason: .tooLarge(name, value: count, limit: limit))
        }
        guard Int(count) <= bytes.count - position else { throw TraceFault(reason: .recordCount) }
        defer { position += Int(count) }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<(position + Int(count))])
    }
}

/// What is wrong with a record; the reader adds the file and the place.
struct TraceFault: Error {
    let reason: TraceError.Reason
}
