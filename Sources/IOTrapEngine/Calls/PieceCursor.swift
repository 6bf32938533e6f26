import CIOTrapEngine

/// A contiguous part of a call: contiguous in memory and in the file.
struct Piece: Equatable {
    var address: UnsafeMutableRawPointer?
    var length: UInt32
    /// Where in the file.
    var offset: Int64
    /// Where in the call: bytes before it.
    var position: Int64

    init(address: UnsafeMutableRawPointer?, length: UInt32, offset: Int64, position: Int64) {
        self.address = address
        self.length = length
        self.offset = offset
        self.position = position
    }
}

extension iovec {
    /// The length as the unsigned number it is. It comes from the program and may be anything, also
    /// beyond Int.max, where a checked conversion would end the host.
    var byteCount: UInt64 { UInt64(UInt(bitPattern: iov_len)) }
}

/// Cuts a call into pieces, in file order: at the borders of its vector's elements, and every
/// `chunkBytes` within an element. Elements of length zero give no piece.
struct PieceCursor {
    private let iov: UnsafePointer<iovec>
    private let iovCount: Int
    private let offset: Int64
    private let chunkBytes: UInt64
    private let end: Int64
    private var element = 0
    private var within: UInt64 = 0
    private var position: Int64 = 0

    /// - Parameters:
    ///   - iov: the caller's vector; it must outlive the cursor.
    ///   - offset: the file offset of the first byte.
    ///   - limit: bytes to hand out at most.
    ///   - chunkBytes: greatest length of a piece.
    init(
        iov: UnsafePointer<iovec>, count: Int, offset: Int64, limit: Int64, chunkBytes: UInt64
    ) {
        self.iov = iov
        self.iovCount = count
        self.offset = offset
        self.end = limit
        self.chunkBytes = min(max(chunkBytes, 1), 0x7fff_f000)
    }

    /// The next piece; nil at the end of the call.
    mutating func next() -> Piece? {
        while element < iovCount && position < end {
            let length = iov[element].byteCount
            if within >= length {
                element += 1
                within = 0
                continue
            }
            let count = min(length - within, chunkBytes, UInt64(end - position))
            let piece = Piece(
                address: iov[element].iov_base.map { $0 + Int(within) }, length: UInt32(count),
                offset: offset + position, position: position)
            within += count
            position += Int64(count)
            return piece
        }
        return nil
    }
}
