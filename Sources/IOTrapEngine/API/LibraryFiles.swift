import CIOTrap
import CIOTrapEngine
import Synchronization

/// Files of iotrap_queue.h.
enum LibraryFiles {
    typealias File = UnsafeMutablePointer<iotrap_file_core>

    private enum Kind {
        static let mask: UInt32 = 0o170000
        static let block: UInt32 = 0o060000
    }

    /// The file that a handle names.
    @inline(__always)
    static func find(_ handle: OpaquePointer?) -> File? {
        guard let record = Library.find(handle, IOTRAP_HANDLE_FILE) else { return nil }
        return UnsafeMutableRawPointer(record).assumingMemoryBound(to: iotrap_file_core.self)
    }

    /// The file that a handle named until it was closed, as long as its name is still there.
    static func findFormer(_ handle: OpaquePointer?) -> File? {
        guard let record = Library.findFormer(handle) else { return nil }
        return UnsafeMutableRawPointer(record).assumingMemoryBound(to: iotrap_file_core.self)
    }

    static func record(_ file: File) -> Library.Record {
        UnsafeMutableRawPointer(file).assumingMemoryBound(to: iotrap_record.self)
    }

    static func handle(_ file: File) -> OpaquePointer { Library.handle(record(file)) }

    static func name(_ file: File) -> UnsafeMutablePointer<CChar> { iotrap_file_path(file) }

    // MARK: - Making

    /// Makes a file of a descriptor, which stays open when that fails.
    static func make(
        _ descriptor: Int32, _ path: UnsafePointer<CChar>?,
        _ options: UnsafePointer<iotrap_file_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>
    ) -> Int32 {
        let pool = options?.pointee.pool ?? IOTRAP_FILE_POOL_AUTO
        var facts = iotrap_file_facts()
        let known = iotrap_file_facts(descriptor, &facts)
        guard known == 0 else { return known }
        guard let record = Library.take() else { return LibraryError.noMemory }
        let file = UnsafeMutableRawPointer(record).assumingMemoryBound(
            to: iotrap_file_core.self)
        file.pointee.descriptor = descriptor
        file.pointee.open_flags = facts.status_flags
        file.pointee.pool = pool
        file.pointee.is_block_device = facts.mode & Kind.mask == Kind.block ? 1 : 0
        file.pointee.memory_alignment = 1
        file.pointee.offset_alignment = 1
        if facts.status_flags & OpenFlags.direct != 0 { noteAlignment(file) }
        file.pointee.path_length = iotrap_file_name(
            descriptor, path, name(file), Int(IOTRAP_FILE_PATH_BYTES))
        if pool != IOTRAP_FILE_POOL_NEVER {
            Library.startEngine()
            file.pointee.pooled = QueuePools.isPooled(descriptor) ? 1 : 0
        }
        if pool == IOTRAP_FILE_POOL_REQUIRED, file.pointee.pooled == 0 {
            Library.give(record)
            return LibraryError.noDevice
        }
        out.pointee = Library.publish(record, IOTRAP_HANDLE_FILE)
        return 0
    }

    private static func noteAlignment(_ file: File) {
        var alignment = iotrap_alignment()
        iotrap_file_alignment(file.pointee.descriptor, &alignment)
        file.pointee.memory_alignment = max(1, alignment.memory)
        file.pointee.offset_alignment = max(1, alignment.offset)
    }

    /// Checks options as openat2(2) does: what this library does not know must be zero.
    static func refusal(_ options: UnsafePointer<iotrap_file_options>?) -> Int32 {
        guard let options else { return 0 }
        let size = MemoryLayout<iotrap_file_options>.size
        guard options.pointee.struct_size >= size else { return LibraryError.invalid }
        guard OptionBytes.areZero(options, from: size, to: options.pointee.struct_size) else {
            return LibraryError.tooBig
        }
        guard options.pointee.pool <= IOTRAP_FILE_POOL_REQUIRED,
            options.pointee.reserved == (0, 0, 0)
        else { return LibraryError.invalid }
        return 0
    }

    // MARK: - Use

    /// Counts an operation of a queue; false when the file is being closed, or was.
    @inline(__always)
    static func enter(_ file: File, _ handle: OpaquePointer?, _ queue: UInt32) -> Bool {
        let users = iotrap_file_users(file, queue).atomic
        // Sequentially consistent: pairs with `close`. Either this user is seen there, or the
        // word of a closing file here.
        users.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        let generation = UInt32(UInt(bitPattern: handle) & UInt(IOTRAP_HANDLE_GENERATIONS - 1))
        let word = iotrap_record_word(record(file)).atomic.pointee.load(
            ordering: .sequentiallyConsistent)
        if word == IOTRAP_HANDLE_FILE.rawValue << 16 | generation { return true }
        users.pointee.wrappingSubtract(1, ordering: .relaxed)
        return false
    }

    @inline(__always)
    static func leave(_ file: File, _ queue: UInt32) {
        // releasing: pairs with `isUsed`
        iotrap_file_users(file, queue).atomic.pointee.wrappingSubtract(1, ordering: .releasing)
    }

    private static func isUsed(_ file: File) -> Bool {
        // Those that count in the parent of a forked child are not here.
        guard file.pointee.record.process == Library.currentProcess() else { return false }
        for stripe in 0..<IOTRAP_FILE_STRIPES
        where iotrap_file_users(file, stripe).atomic.pointee.load(
            ordering: .sequentiallyConsistent) != 0
        {
            return true
        }
        return false
    }

    /// In a forked child: nobody uses the file yet.
    @inline(__always)
    static func notice(_ file: File, _ process: UInt32) {
        if file.pointee.record.process != process { forgetParent(file, process) }
    }

    @inline(never)
    private static func forgetParent(_ file: File, _ process: UInt32) {
        for stripe in 0..<IOTRAP_FILE_STRIPES {
            iotrap_file_users(file, stripe).atomic.pointee.store(0, ordering: .relaxed)
        }
        file.pointee.record.process = process
    }

    /// Ends the use of a handle: its descriptor, or -errno.
    static func release(_ handle: OpaquePointer?) -> Int32 {
        guard let file = find(handle) else {
            return Library.misuse("file: closed already, or no file", LibraryError.badHandle)
        }
        let word = iotrap_record_word(record(file)).atomic
        let generation = file.pointee.record.word & 0xffff
        let open = IOTRAP_HANDLE_FILE.rawValue << 16 | generation
        // Sequentially consistent: pairs with `enter`.
        guard
            word.pointee.compareExchange(
                expected: open, desired: IOTRAP_HANDLE_CLOSING.rawValue << 16 | generation,
                ordering: .sequentiallyConsistent
            ).exchanged
        else { return LibraryError.badHandle }
        if isUsed(file) {
            word.pointee.store(open, ordering: .sequentiallyConsistent)
            return LibraryError.busy
        }
        let descriptor = file.pointee.descriptor
        Library.give(record(file))
        return descriptor
    }

    static func close(_ handle: OpaquePointer?) -> Int32 {
        let descriptor = release(handle)
        guard descriptor >= 0 else { return descriptor }
        let number = UInt32(bitPattern: descriptor)
        // What the engine has of it, for calls that came through hooks or iotrap_pread.
        iotrap_aio_closing(number, number)
        iotrap_descriptor_forget(descriptor)
        return iotrap_file_close_raw(descriptor)
    }

    static func size(_ file: File) -> Int64 {
        iotrap_file_size_now(
            file.pointee.descriptor, file.pointee.is_block_device == 0 ? 0 : 1)
    }

    static func fill(
        _ file: File, _ info: UnsafeMutablePointer<iotrap_file_info>
    ) -> Int32 {
        let size = UInt32(MemoryLayout<iotrap_file_info>.size)
        guard info.pointee.struct_size >= size else { return LibraryError.invalid }
        let bytes = Self.size(file)
        guard bytes >= 0 else { return Int32(truncatingIfNeeded: bytes) }
        let isDirect = file.pointee.open_flags & OpenFlags.direct != 0
        var filled = iotrap_file_info()
        filled.struct_size = size
        filled.descriptor = file.pointee.descriptor
        filled.open_flags = file.pointee.open_flags
        // Where the kernel does not say, a page is enough everywhere.
        let unknown: UInt32 = isDirect ? 4096 : 1
        filled.memory_alignment =
            file.pointee.memory_alignment > 1 ? file.pointee.memory_alignment : unknown
        filled.offset_alignment =
            file.pointee.offset_alignment > 1 ? file.pointee.offset_alignment : unknown
        filled.paths = file.pointee.pooled != 0 ? QueuePools.paths(file.pointee.descriptor) : 1
        filled.size = UInt64(bytes)
        info.pointee = filled
        return 0
    }
}

/// Structures that later versions of a program may make longer.
enum OptionBytes {
    static func areZero<T>(_ structure: UnsafePointer<T>, from: Int, to: UInt32) -> Bool {
        guard to <= 4096 else { return false }
        let bytes = UnsafeRawPointer(structure)
        var index = from
        while index < Int(to) {
            if bytes.load(fromByteOffset: index, as: UInt8.self) != 0 { return false }
            index += 1
        }
        return true
    }
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_file_open(
    _ path: UnsafePointer<CChar>!, _ flags: Int32, _ mode: mode_t,
    _ options: UnsafePointer<iotrap_file_options>!,
    _ file: UnsafeMutablePointer<OpaquePointer?>!
) -> Int32 {
    guard let path, let file else { return LibraryError.badAddress }
    let refusal = LibraryFiles.refusal(options)
    guard refusal == 0 else { return refusal }
    let currentDirectory: Int32 = -100
    let descriptor = iotrap_open_raw(
        currentDirectory, path, UInt32(bitPattern: flags), UInt32(mode))
    guard descriptor >= 0 else { return descriptor }
    iotrap_descriptor_opened(descriptor, UInt32(bitPattern: flags))
    let result = LibraryFiles.make(descriptor, path, options, file)
    if result < 0 {
        iotrap_descriptor_forget(descriptor)
        iotrap_close_raw(descriptor)
    }
    return result
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_file_adopt(
    _ descriptor: Int32, _ options: UnsafePointer<iotrap_file_options>!,
    _ file: UnsafeMutablePointer<OpaquePointer?>!
) -> Int32 {
    guard let file else { return LibraryError.badAddress }
    let refusal = LibraryFiles.refusal(options)
    guard refusal == 0 else { return refusal }
    return LibraryFiles.make(descriptor, nil, options, file)
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_file_close(_ file: OpaquePointer!) -> Int32 { LibraryFiles.close(file) }

/// See iotrap_queue.h.
@c @implementation
public func iotrap_file_release(_ file: OpaquePointer!) -> Int32 { LibraryFiles.release(file) }

/// See iotrap_queue.h.
@c @implementation
public func iotrap_file_descriptor(_ file: OpaquePointer!) -> Int32 {
    LibraryFiles.find(file)?.pointee.descriptor ?? LibraryError.badHandle
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_file_size(_ file: OpaquePointer!) -> Int64 {
    guard let core = LibraryFiles.find(file) else { return Int64(LibraryError.badHandle) }
    return LibraryFiles.size(core)
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_file_info(
    _ file: OpaquePointer!, _ info: UnsafeMutablePointer<iotrap_file_info>!
) -> Int32 {
    guard let core = LibraryFiles.find(file) else { return LibraryError.badHandle }
    guard let info else { return LibraryError.badAddress }
    return LibraryFiles.fill(core, info)
}
