import CIOTrap
import Glibc

// The asynchronous forms: the task waits, its thread goes on. On an IOExecutor's thread they
// change no thread; elsewhere the shared executor's thread does the I/O. `deadline` is when to give
// up; what a device is working on by then is still waited for.

extension IOFile {
    /// Opens a file; the arguments are those of the synchronous form.
    /// - Throws: `.open` with what open(2) said.
    public static nonisolated(nonsending) func open(
        _ path: String, _ access: Access = .readOnly, options: Options = [],
        permissions: UInt32 = 0o644, pool: PoolUse = .automatic,
        deadline: ContinuousClock.Instant? = nil
    ) async throws(IOError) -> IOFile {
        Engine.start()
        var io = iotrap_io()
        iotrap_io_open(&io, nil, access.flags | options.rawValue | O_CLOEXEC, permissions)
        io.deadline_ns = Priority.deadline(deadline)
        let result = await Perform.one(io, path: path)
        guard result >= 0 else {
            throw IOError(.open, path: path, reason: IOError.Reason(result: result))
        }
        do throws(IOError) {
            return try adopt(Int32(result), path: path, pool: pool)
        } catch {
            Glibc.close(Int32(result))
            throw error
        }
    }

    /// Reads up to as many bytes as there is room for.
    /// - Parameter offset: bytes from the file's beginning
    /// - Returns: bytes read; 0 at the end of the file
    /// - Throws: `.read`.
    public nonisolated(nonsending) func read(
        into buffer: inout MutableRawSpan, at offset: Int64,
        deadline: ContinuousClock.Instant? = nil
    ) async throws(IOError) -> Int {
        let count = buffer.byteCount
        // Borrowed until this returns, and so does the operation end.
        let address = buffer.withUnsafeMutableBytes { $0.baseAddress }
        return try await transfer(IOTRAP_IO_READ, .read, address, count, offset, deadline)
    }

    /// Reads into a buffer, whose `count` is then what was read.
    /// - Returns: bytes read; 0 at the end of the file
    /// - Throws: `.read`.
    @discardableResult
    public nonisolated(nonsending) func read(
        into buffer: inout IOBuffer, at offset: Int64, deadline: ContinuousClock.Instant? = nil
    ) async throws(IOError) -> Int {
        let result = try await transfer(
            IOTRAP_IO_READ, .read, buffer.base, buffer.capacity, offset, deadline,
            registration: buffer.registration)
        buffer.count = result
        return result
    }

    /// Fills all of the memory.
    /// - Throws: `.read`; its reason is `.endOfFile` when the file is shorter than that, or was
    ///   cut meanwhile.
    public nonisolated(nonsending) func readExactly(
        into buffer: inout MutableRawSpan, at offset: Int64,
        deadline: ContinuousClock.Instant? = nil
    ) async throws(IOError) {
        let count = buffer.byteCount
        let address = buffer.withUnsafeMutableBytes { $0.baseAddress }
        var done = 0
        while done < count {
            let result = try await transfer(
                IOTRAP_IO_READ, .read, address! + done, count - done, offset + Int64(done),
                deadline)
            // Past the last whole block a direct read could not go on anyway.
            let isUnaligned = UInt64(result) & handle.offsetMask != 0
            done += result
            if result == 0 || (isUnaligned && done < count) {
                throw handle.failure(.read, .endOfFile(expected: count, found: done))
            }
        }
    }

    /// Writes all bytes.
    /// - Parameter offset: bytes from the file's beginning
    /// - Throws: `.write`. Some of the bytes may have been written then.
    public nonisolated(nonsending) func write(
        _ bytes: RawSpan, at offset: Int64, deadline: ContinuousClock.Instant? = nil
    ) async throws(IOError) {
        let count = bytes.byteCount
        let address = bytes.withUnsafeBytes { $0.baseAddress }
        try await writeAll(address, count, offset, deadline, registration: nil)
    }

    /// Writes what a buffer holds: its first `count` bytes.
    /// - Throws: `.write`. Some of the bytes may have been written then.
    public nonisolated(nonsending) func write(
        _ buffer: borrowing IOBuffer, at offset: Int64, deadline: ContinuousClock.Instant? = nil
    ) async throws(IOError) {
        try await writeAll(
            buffer.base, buffer.count, offset, deadline, registration: buffer.registration)
    }

    /// Waits until what was written is on the storage.
    /// - Parameter dataOnly: without times and the like (fdatasync(2)); the size is always kept
    /// - Throws: `.sync`. What was written since the last sync may be lost then.
    public nonisolated(nonsending) func sync(
        dataOnly: Bool = false, deadline: ContinuousClock.Instant? = nil
    ) async throws(IOError) {
        var io = syncRequest(dataOnly: dataOnly)
        io.deadline_ns = Priority.deadline(deadline)
        let result = await Perform.one(io)
        guard result >= 0 else { throw handle.failure(.sync, result: result) }
    }

    /// Writes all bytes and waits until they are on the storage: one submission for both.
    ///
    /// The sync starts when the write has ended, and also covers what was written before.
    /// - Throws: `.write` or `.sync`. Some of the bytes may have been written then.
    public nonisolated(nonsending) func writeDurably(
        _ bytes: RawSpan, at offset: Int64, deadline: ContinuousClock.Instant? = nil
    ) async throws(IOError) {
        let count = bytes.byteCount
        let address = bytes.withUnsafeBytes { UnsafeMutableRawPointer(mutating: $0.baseAddress) }
        try handle.checkAlignment(.write, address, count, offset)
        var io = iotrap_io()
        iotrap_io_write(&io, handle.file, address, UInt64(count), offset)
        io.priority = Priority.current
        io.deadline_ns = Priority.deadline(deadline)
        var sync = syncRequest(dataOnly: true)
        sync.deadline_ns = io.deadline_ns
        let results = await Perform.pair(io, sync)
        guard results.first >= 0 else { throw handle.failure(.write, result: results.first) }
        if results.first == Int64(count) {
            guard results.second >= 0 else { throw handle.failure(.sync, result: results.second) }
            return
        }
        // A short write breaks the link: the rest goes the long way.
        let done = Int(results.first)
        try await writeAll(
            address.map { UnsafeRawPointer($0) + done }, count - done, offset + Int64(done),
            deadline, registration: nil)
        try await self.sync(dataOnly: true, deadline: deadline)
    }

    private func syncRequest(dataOnly: Bool) -> iotrap_io {
        var io = iotrap_io()
        iotrap_io_sync(&io, handle.file, dataOnly ? 1 : 0)
        io.priority = Priority.current
        return io
    }

    private nonisolated(nonsending) func writeAll(
        _ address: UnsafeRawPointer?, _ count: Int, _ offset: Int64,
        _ deadline: ContinuousClock.Instant?, registration: Registration?
    ) async throws(IOError) {
        var done = 0
        while done < count {
            let place = UnsafeMutableRawPointer(mutating: address! + done)
            let result = try await transfer(
                IOTRAP_IO_WRITE, .write, place, count - done, offset + Int64(done), deadline,
                registration: registration)
            try handle.advance(.write, &done, result: Int64(result), of: count)
        }
    }

    /// One request for data: its result, which may be short.
    private nonisolated(nonsending) func transfer(
        _ kind: iotrap_io_kind, _ operation: IOOperation, _ address: UnsafeMutableRawPointer?,
        _ count: Int, _ offset: Int64, _ deadline: ContinuousClock.Instant?,
        registration: Registration? = nil
    ) async throws(IOError) -> Int {
        try handle.checkAlignment(operation, address, count, offset)
        var io = iotrap_io()
        // What one call takes at most (MAX_RW_COUNT), a multiple of every alignment.
        let length = UInt64(min(count, 0x7fff_f000))
        iotrap_io_prepare(&io, kind, handle.file, address, length, offset)
        io.priority = Priority.current
        io.deadline_ns = Priority.deadline(deadline)
        if let registration, registration.isHere {
            io.flags = UInt32(IOTRAP_IO_FIXED_BUFFER)
            io.buffer_index = registration.slot
        }
        let result = await Perform.one(io)
        guard result >= 0 else { throw handle.failure(operation, result: result) }
        return Int(result)
    }
}
