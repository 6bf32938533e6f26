import CIOTrap
import Glibc

/// A part of a file that a stream has read.
///
/// Its memory goes back to the stream's pool with the last reference: a stream reads ahead only
/// into memory that is free.
public final class IOBlock {
    /// Where it begins: bytes from the beginning of the file.
    public let offset: Int64
    private var buffer: IOBuffer
    /// Bytes that have to come for the file to be as long as it was.
    private let expected: Int
    private var result: Int64?
    private var waiter: UnsafeContinuation<Void, Never>?

    init(_ buffer: consuming IOBuffer, offset: Int64, expected: Int) {
        self.buffer = buffer
        self.offset = offset
        self.expected = expected
    }

    /// Bytes in it.
    public var count: Int { buffer.count }

    /// What was read.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get { _overrideLifetime(buffer.bytes, borrowing: self) }
    }

    // MARK: In the loop's thread

    /// The request that fills it.
    func request(_ handle: FileHandle) -> iotrap_io {
        var io = iotrap_io()
        let mask = Int(handle.offsetMask)
        let length = min((expected + mask) & ~mask, buffer.capacity)
        iotrap_io_read(&io, handle.file, buffer.base, UInt64(length), offset)
        io.priority = Priority.current
        // What is no multiple of a direct file's blocks ends with a short read.
        if length == expected { io.flags = UInt32(IOTRAP_IO_WHOLE) }
        if let registration = buffer.registration, registration.isHere {
            io.flags |= UInt32(IOTRAP_IO_FIXED_BUFFER)
            io.buffer_index = registration.slot
        }
        return io
    }

    func finish(_ result: Int64) {
        self.result = result
        if result > 0 { buffer.count = min(Int(result), expected) }
        waiter?.resume()
        waiter = nil
    }

    /// Waits for the end of the read: why it failed, if it did.
    func end(isolation: isolated ReadAhead) async -> IOError.Reason? {
        if result == nil {
            // Getting here may have taken a turn of the loop: the end may have come since.
            await withUnsafeContinuation { continuation in
                if result == nil { waiter = continuation } else { continuation.resume() }
            }
        }
        guard let result, result >= 0 else {
            if result == Int64(-ENODATA) {
                return .endOfFile(expected: expected, found: 0)
            }
            return IOError.Reason(result: result ?? 0)
        }
        return result < expected ? .endOfFile(expected: expected, found: Int(result)) : nil
    }
}
