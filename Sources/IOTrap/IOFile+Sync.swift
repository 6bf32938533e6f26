import CIOTrap
import Glibc

// The synchronous forms: the calling thread waits.

extension IOFile {
    /// Reads up to as many bytes as there is room for.
    /// - Parameter offset: bytes from the file's beginning
    /// - Returns: bytes read; 0 at the end of the file
    /// - Throws: `.read`.
    public func read(
        into buffer: inout MutableRawSpan, at offset: Int64
    ) throws(IOError) -> Int {
        let count = buffer.byteCount
        let result = try buffer.withUnsafeMutableBytes { (bytes) throws(IOError) -> Int in
            try handle.checkAlignment(.read, bytes.baseAddress, count, offset)
            return iotrap_pread(handle.descriptor, bytes.baseAddress, count, off_t(offset))
        }
        guard result >= 0 else { throw handle.failure(.read, result: Int64(result)) }
        return result
    }

    /// Reads into a buffer, whose `count` is then what was read.
    /// - Returns: bytes read; 0 at the end of the file
    /// - Throws: `.read`.
    @discardableResult
    public func read(into buffer: inout IOBuffer, at offset: Int64) throws(IOError) -> Int {
        try handle.checkAlignment(.read, buffer.base, buffer.capacity, offset)
        let result = iotrap_pread(
            handle.descriptor, buffer.base, buffer.capacity, off_t(offset))
        guard result >= 0 else { throw handle.failure(.read, result: Int64(result)) }
        buffer.count = result
        return result
    }

    /// Writes all bytes.
    /// - Parameter offset: bytes from the file's beginning
    /// - Throws: `.write`. Some of the bytes may have been written then.
    public func write(_ bytes: RawSpan, at offset: Int64) throws(IOError) {
        try bytes.withUnsafeBytes { (bytes) throws(IOError) in
            try handle.checkAlignment(.write, bytes.baseAddress, bytes.count, offset)
            var done = 0
            while done < bytes.count {
                let result = iotrap_pwrite(
                    handle.descriptor, bytes.baseAddress! + done, bytes.count - done,
                    off_t(offset) + done)
                try handle.advance(.write, &done, result: Int64(result), of: bytes.count)
            }
        }
    }

    /// Waits until what was written is on the storage.
    /// - Parameter dataOnly: without times and the like (fdatasync(2)); the size is always kept
    /// - Throws: `.sync`. What was written since the last sync may be lost then.
    public func sync(dataOnly: Bool = false) throws(IOError) {
        let error =
            dataOnly ? iotrap_fdatasync(handle.descriptor) : iotrap_fsync(handle.descriptor)
        guard error == 0 else { throw handle.failure(.sync, result: Int64(error)) }
    }
}

extension FileHandle {
    /// Counts what a part of a transfer moved; a write that moves nothing would go on for ever.
    func advance(
        _ operation: IOOperation, _ done: inout Int, result: Int64, of count: Int
    ) throws(IOError) {
        if result == Int64(-EINTR) { return }
        guard result >= 0 else { throw failure(operation, result: result) }
        guard result > 0 else {
            throw failure(operation, .incomplete(expected: count, written: done))
        }
        done += Int(result)
    }
}
