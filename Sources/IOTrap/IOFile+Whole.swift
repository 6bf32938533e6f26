import CIOTrap
import Glibc

// Whole files, each in one operation: opening, transfer and closing go to the kernel together.

extension IOFile {
    /// Reads a file from its beginning into a buffer, whose `count` is then what was read.
    ///
    /// Opens, reads once and closes. When the buffer is full afterwards there may be more.
    /// - Returns: bytes read
    /// - Throws: `.read` with what open(2) or pread(2) said.
    @discardableResult
    public static nonisolated(nonsending) func read(
        contentsOf path: String, into buffer: inout IOBuffer,
        deadline: ContinuousClock.Instant? = nil
    ) async throws(IOError) -> Int {
        var io = iotrap_io()
        iotrap_io_read_file(&io, nil, buffer.base, UInt64(buffer.capacity))
        io.priority = Priority.current
        io.deadline_ns = Priority.deadline(deadline)
        let result = await Perform.one(io, path: path)
        guard result >= 0 else {
            throw IOError(.read, path: path, reason: IOError.Reason(result: result))
        }
        buffer.count = Int(result)
        return Int(result)
    }

    /// Makes a file of bytes, or replaces what it holds.
    ///
    /// Opens, writes once and closes. Nothing is synced.
    /// - Parameters:
    ///   - options: beyond `.create` and `.truncate`
    ///   - permissions: the mode of a new file, less the process's umask
    /// - Throws: `.write` with what open(2) or pwrite(2) said.
    public static nonisolated(nonsending) func write(
        contents bytes: RawSpan, to path: String, options: Options = [],
        permissions: UInt32 = 0o644, deadline: ContinuousClock.Instant? = nil
    ) async throws(IOError) {
        try await writeFile(
            bytes.withUnsafeBytes { $0.baseAddress }, bytes.byteCount, path, options, permissions,
            deadline)
    }

    /// Makes a file of what a buffer holds; otherwise the same.
    /// - Throws: `.write` with what open(2) or pwrite(2) said.
    public static nonisolated(nonsending) func write(
        contents buffer: borrowing IOBuffer, to path: String, options: Options = [],
        permissions: UInt32 = 0o644, deadline: ContinuousClock.Instant? = nil
    ) async throws(IOError) {
        try await writeFile(buffer.base, buffer.count, path, options, permissions, deadline)
    }

    private static nonisolated(nonsending) func writeFile(
        _ address: UnsafeRawPointer?, _ count: Int, _ path: String, _ options: Options,
        _ permissions: UInt32, _ deadline: ContinuousClock.Instant?
    ) async throws(IOError) {
        let flags = options.union([.create, .truncate]).rawValue
        var io = iotrap_io()
        iotrap_io_write_file(&io, nil, flags, permissions, address, UInt64(count))
        io.priority = Priority.current
        io.deadline_ns = Priority.deadline(deadline)
        let result = await Perform.one(io, path: path)
        guard result >= 0 else {
            throw IOError(.write, path: path, reason: IOError.Reason(result: result))
        }
        guard result == Int64(count) else {
            throw IOError(
                .write, path: path, reason: .incomplete(expected: count, written: Int(result)))
        }
    }
}
