import CIOTrap
import CIOTrapEngine

/// Memory of the program that pieces of its requests go to and come from.
enum PoolMemory {
    /// Reads over the end of a file may name more memory than they touch, and more is not given
    /// pages for their sake.
    static let beyondEndBytesMax: UInt64 = 64 << 20

    /// True when all memory of a request is there. Where it is not, the kernel stops at the gap; of
    /// several pieces those behind it would go on, into whatever lies there.
    static func isWhole(_ request: RequestPool.Request, knownSize: UInt64) -> Bool {
        let kind = UInt32(request.pointee.kind)
        if kind == IOTRAP_REQUEST_READV.rawValue || kind == IOTRAP_REQUEST_WRITEV.rawValue {
            // Never cut.
            return true
        }
        guard let address = request.pointee.address else { return false }
        let bytes = UInt64(request.pointee.length)
        if Requests.writes(request) { return iotrap_buffer_readable(address, Int(bytes)) != 0 }
        let end = UInt64(bitPattern: request.pointee.offset) &+ bytes
        if end > knownSize && bytes > beyondEndBytesMax { return false }
        return iotrap_buffer_writable(address, Int(bytes)) != 0
    }
}
