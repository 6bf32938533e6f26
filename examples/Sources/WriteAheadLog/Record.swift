/// How a record lies in the log: length, checksum, number, then its bytes.
///
/// The checksum covers number and bytes. All numbers are little-endian.
enum Record {
    static let headerBytes = 16
    /// Longer ones are taken for garbage.
    static let payloadBytesMax = 1 << 24

    /// Appends a record.
    static func encode(_ payload: [UInt8], number: UInt64, into bytes: inout [UInt8]) {
        var body: [UInt8] = []
        body.reserveCapacity(8 + payload.count)
        append(number, to: &body)
        body += payload
        append(UInt32(payload.count), to: &bytes)
        append(CRC32C.of(body[...]), to: &bytes)
        bytes += body
    }

    /// The record at the beginning of bytes; nil when there is no whole and undamaged one.
    static func decode(_ bytes: ArraySlice<UInt8>) -> (number: UInt64, payload: ArraySlice<UInt8>)?
    {
        guard bytes.count >= headerBytes else { return nil }
        let length = Int(number(bytes.prefix(4)))
        let sum = UInt32(number(bytes.dropFirst(4).prefix(4)))
        guard length <= payloadBytesMax, bytes.count >= headerBytes + length else { return nil }
        let body = bytes.dropFirst(8).prefix(8 + length)
        guard CRC32C.of(body) == sum else { return nil }
        return (number(body.prefix(8)), body.dropFirst(8))
    }

    private static func append<N: FixedWidthInteger>(_ number: N, to bytes: inout [UInt8]) {
        for shift in stride(from: 0, to: N.bitWidth, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: number >> shift))
        }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// The checksum of iSCSI and of many databases.
enum CRC32C {
    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
    }

    static func of(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        ~bytes.reduce(~UInt32(0)) { $0 >> 8 ^ table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] }
    }
}
