/// The CRC of iSCSI and ext4 (Castagnoli): polynomial 0x1EDC6F41, reflected, all ones before and
/// after.
public enum CRC32C {
    /// Eight tables of 256: one step takes eight bytes. The tables live as long as the process.
    private static let tables: UInt32Table = {
        let table = UnsafeMutablePointer<UInt32>.allocate(capacity: 8 * 256)
        for value in 0..<256 {
            var crc = UInt32(value)
            for _ in 0..<8 { crc = crc & 1 == 1 ? (crc >> 1) ^ 0x82F6_3B78 : crc >> 1 }
            table[value] = crc
        }
        for slice in 1..<8 {
            for value in 0..<256 {
                let before = table[(slice - 1) * 256 + value]
                table[slice * 256 + value] = (before >> 8) ^ table[Int(before & 0xff)]
            }
        }
        return UInt32Table(start: UnsafePointer(table))
    }()

    /// The checksum of some bytes.
    public static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        guard var next = bytes.baseAddress else { return 0 }
        let table = tables.start
        var crc = UInt32.max
        var left = bytes.count
        while left >= 8 {
            let word = next.loadUnaligned(as: UInt64.self).littleEndian ^ UInt64(crc)
            crc = table[7 * 256 + Int(word & 0xff)] ^ table[6 * 256 + Int(word >> 8 & 0xff)]
            crc ^= table[5 * 256 + Int(word >> 16 & 0xff)] ^ table[4 * 256 + Int(word >> 24 & 0xff)]
            crc ^= table[3 * 256 + Int(word >> 32 & 0xff)] ^ table[2 * 256 + Int(word >> 40 & 0xff)]
            crc ^= table[256 + Int(word >> 48 & 0xff)] ^ table[Int(word >> 56)]
            next += 8
            left -= 8
        }
        while left > 0 {
            crc = table[Int((crc ^ UInt32(next.load(as: UInt8.self))) & 0xff)] ^ (crc >> 8)
            next += 1
            left -= 1
        }
        return ~crc
    }
}

/// Numbers that nobody changes once they are there.
private struct UInt32Table: @unchecked Sendable {
    let start: UnsafePointer<UInt32>
}
