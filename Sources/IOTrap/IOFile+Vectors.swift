import CIOTrap
import Glibc

// Vectored forms: one operation for several buffers.

extension IOFile {
    /// Reads into the buffers of a list, one after the other; sets the `count` of each.
    /// - Returns: bytes read; 0 at the end of the file
    /// - Throws: `.read`.
    @discardableResult
    public func read(into list: inout IOBufferList, at offset: Int64) throws(IOError) -> Int {
        let bytes = list.prepareToRead()
        try handle.checkVectors(.read, list, bytes, offset)
        let result = iotrap_preadv(
            handle.descriptor, list.vectors, Int32(list.count), off_t(offset))
        guard result >= 0 else { throw handle.failure(.read, result: Int64(result)) }
        list.noteRead(result)
        return result
    }

    /// Writes what the buffers of a list hold, one after the other.
    /// - Throws: `.write`. Some of the bytes may have been written then.
    public func write(_ list: borrowing IOBufferList, at offset: Int64) throws(IOError) {
        var done = 0
        while true {
            let (bytes, first) = list.prepareToWrite(skipping: done)
            guard bytes > 0 else { return }
            let place = offset + Int64(done)
            try handle.checkVectors(.write, list, bytes, place)
            let result = iotrap_pwritev(
                handle.descriptor, list.vectors + first, Int32(list.count - first), off_t(place))
            try handle.advance(.write, &done, result: Int64(result), of: done + bytes)
        }
    }

    /// Reads into the buffers of a list, one after the other; sets the `count` of each.
    /// - Returns: bytes read; 0 at the end of the file
    /// - Throws: `.read`.
    @discardableResult
    public nonisolated(nonsending) func read(
        into list: inout IOBufferList, at offset: Int64, deadline: ContinuousClock.Instant? = nil
    ) async throws(IOError) -> Int {
        let bytes = list.prepareToRead()
        try handle.checkVectors(.read, list, bytes, offset)
        var io = iotrap_io()
        iotrap_io_readv(&io, handle.file, list.vectors, UInt32(list.count), offset)
        io.priority = Priority.current
        io.deadline_ns = Priority.deadline(deadline)
        let result = await Perform.one(io)
        guard result >= 0 else { throw handle.failure(.read, result: result) }
        list.noteRead(Int(result))
        return Int(result)
    }

    /// Writes what the buffers of a list hold, one after the other.
    /// - Throws: `.write`. Some of the bytes may have been written then.
    public nonisolated(nonsending) func write(
        _ list: borrowing IOBufferList, at offset: Int64,
        deadline: ContinuousClock.Instant? = nil
    ) async throws(IOError) {
        var done = 0
        while true {
            let (bytes, first) = list.prepareToWrite(skipping: done)
            guard bytes > 0 else { return }
            let place = offset + Int64(done)
            try handle.checkVectors(.write, list, bytes, place)
            var io = iotrap_io()
            iotrap_io_writev(
                &io, handle.file, list.vectors + first, UInt32(list.count - first), place)
            io.priority = Priority.current
            io.deadline_ns = Priority.deadline(deadline)
            let result = await Perform.one(io)
            try handle.advance(.write, &done, result: result, of: done + bytes)
        }
    }
}

extension FileHandle {
    /// `checkAlignment` of each buffer of a list.
    func checkVectors(
        _ operation: IOOperation, _ list: borrowing IOBufferList, _ bytes: Int, _ offset: Int64
    ) throws(IOError) {
        guard offsetMask != 0 || memoryMask != 0 || offset < 0 else { return }
        var place = offset
        for index in 0..<list.count {
            let vector = list.vectors[index]
            try checkAlignment(operation, vector.iov_base, vector.iov_len, place)
            place += Int64(vector.iov_len)
        }
    }
}
