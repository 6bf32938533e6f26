import CIOTrap
import Glibc
import Synchronization

/// An open file of the engine, shared by everything that still needs it; closed with the last.
final class FileHandle {
    let path: String
    let file: OpaquePointer
    let descriptor: Int32
    /// Multiples that O_DIRECT asks for, less one; 0 for other files.
    let memoryMask: UInt64
    let offsetMask: UInt64
    private let isClosed = Atomic<Bool>(false)

    /// Takes over a file.
    init(_ file: OpaquePointer, path: String) {
        var info = iotrap_file_info()
        info.struct_size = UInt32(MemoryLayout<iotrap_file_info>.size)
        iotrap_file_info(file, &info)
        self.file = file
        self.path = path
        descriptor = info.descriptor
        memoryMask = UInt64(max(info.memory_alignment, 1)) - 1
        offsetMask = UInt64(max(info.offset_alignment, 1)) - 1
    }

    deinit {
        if !isClosed.load(ordering: .relaxed) { _ = iotrap_file_close(file) }
    }

    /// Closes it: 0 or -errno; -EBUSY while operations are under way, which then close it.
    func close() -> Int32 {
        let error = iotrap_file_close(file)
        if error != -EBUSY { isClosed.store(true, ordering: .relaxed) }
        return error
    }

    func failure(_ operation: IOOperation, _ reason: IOError.Reason) -> IOError {
        IOError(operation, path: path, reason: reason)
    }

    /// What a negative result means.
    func failure(_ operation: IOOperation, result: Int64) -> IOError {
        IOError(operation, path: path, reason: IOError.Reason(result: result))
    }

    /// Refuses what O_DIRECT would: the kernel only says EINVAL.
    func checkAlignment(
        _ operation: IOOperation, _ address: UnsafeRawPointer?, _ length: Int, _ offset: Int64
    ) throws(IOError) {
        guard offsetMask != 0 || memoryMask != 0 || offset < 0 else { return }
        let place = UInt64(UInt(bitPattern: address))
        if offset < 0 {
            throw failure(operation, .invalid("offset \(offset) is negative"))
        }
        if place & memoryMask != 0 {
            throw misaligned(operation, "address", place, memoryMask)
        }
        if UInt64(length) & offsetMask != 0 {
            throw misaligned(operation, "length", UInt64(length), offsetMask)
        }
        if UInt64(offset) & offsetMask != 0 {
            throw misaligned(operation, "offset", UInt64(offset), offsetMask)
        }
    }

    private func misaligned(
        _ operation: IOOperation, _ field: String, _ value: UInt64, _ mask: UInt64
    ) -> IOError {
        failure(operation, .misaligned(field: field, value: value, multiple: mask + 1))
    }
}

extension IOError.Reason {
    /// What a negative result of the engine means.
    init(result: Int64) {
        switch Int32(truncatingIfNeeded: -result) {
        case ETIME: self = .deadlinePassed
        case ECANCELED: self = .cancelled
        case let number: self = .system(number)
        }
    }
}
