import CIOTrapEngine

extension UserMemory {
    /// Whether the kernel can read memory of the program's at this moment. Emulated contexts ask
    /// each time: they make system calls for each request anyway.
    static func isReadableNow(_ address: UInt64, bytes: UInt64) -> Bool {
        guard let first = UnsafeRawPointer(bitPattern: UInt(address)) else { return false }
        return iotrap_readable(first, Int(bytes)) != 0
    }
}
