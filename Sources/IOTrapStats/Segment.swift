import Glibc

/// The open statistics segment of one process.
///
/// Reads with pread(2) and never maps the file: the process that owns it may cut it short at any
/// moment, which would end a mapping's reader with SIGBUS.
public struct Segment: ~Copyable {
    /// Where it was found.
    public let path: String
    /// The header as it was when the segment was opened.
    public let header: SegmentHeader
    /// Device and inode, by which a later look at the name knows the same file again.
    let identity: FileIdentity
    private let descriptor: OwnedDescriptor

    /// Opens the file `name` in an open directory and checks everything that reading relies on.
    ///
    /// - Parameters:
    ///   - directory: a descriptor of the directory, or AT_FDCWD with `name` a path.
    ///   - path: how errors name the file.
    ///   - owners: the users whose files are trusted; the reading user and root without it.
    public init(
        name: String, in directory: Int32 = AT_FDCWD, path: String, owners: Set<UInt32>? = nil
    ) throws(SegmentError) {
        let file = try Self.open(name, in: directory, path: path)
        let status = try Self.checkFile(file, path: path, owners: owners ?? [geteuid(), 0])
        header = try Self.readHeader(file, path: path)
        identity = FileIdentity(status)
        self.path = path
        descriptor = file
    }

    /// Reads the header again and sums the blocks of all threads.
    ///
    /// The process goes on counting meanwhile: numbers of one snapshot may be a few calls apart.
    public func snapshot() throws(SegmentError) -> Snapshot {
        let header = try Self.readHeader(descriptor, path: path)
        var snapshot = Snapshot(header: header)
        snapshot.paths = try paths(header)
        if header.ended {
            // The process shows this now and then, and did so last before its end.
            for index in snapshot.paths.indices { snapshot.paths[index].inFlightBytes = 0 }
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: SegmentHeader.blockBytes, alignment: 16)
        defer { buffer.deallocate() }
        for index in 0..<header.blockCount {
            let offset = header.bytesBeforeBlocks + index * SegmentHeader.blockBytes
            try Self.read(descriptor, into: buffer, at: offset, path: path)
            snapshot.add(block: UnsafeRawBufferPointer(buffer))
        }
        return snapshot
    }

    /// The records of all paths.
    private func paths(_ header: SegmentHeader) throws(SegmentError) -> [PathTotals] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: SegmentHeader.pathBytes, alignment: 16)
        defer { buffer.deallocate() }
        var paths: [PathTotals] = []
        for index in 0..<header.pathCount {
            let offset = SegmentHeader.headerBytes + index * SegmentHeader.pathBytes
            try Self.read(descriptor, into: buffer, at: offset, path: path)
            paths.append(
                try PathTotals(
                    validating: UnsafeRawBufferPointer(buffer), index: index, path: path))
        }
        return paths
    }

    private static func open(
        _ name: String, in directory: Int32, path: String
    ) throws(SegmentError) -> OwnedDescriptor {
        do throws(Errno) {
            // O_NONBLOCK: a FIFO in the segment's place must not hold us up.
            let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
            return try OwnedDescriptor(opening: name, in: directory, flags: flags)
        } catch {
            throw SegmentError.opening(path, error.code)
        }
    }

    private static func checkFile(
        _ descriptor: borrowing OwnedDescriptor, path: String, owners: Set<UInt32>
    ) throws(SegmentError) -> stat {
        let status = try descriptor.status(path: path)
        if status.st_mode & S_IFMT != S_IFREG {
            throw SegmentError(path: path, reason: .wrongKind(expected: "regular file"))
        }
        if !owners.contains(status.st_uid) {
            throw SegmentError(path: path, reason: .foreignOwner(userID: status.st_uid))
        }
        if status.st_mode & 0o022 != 0 {
            throw SegmentError(path: path, reason: .writableByOthers(mode: status.st_mode))
        }
        return status
    }

    private static func readHeader(
        _ descriptor: borrowing OwnedDescriptor, path: String
    ) throws(SegmentError) -> SegmentHeader {
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: SegmentHeader.headerBytes, alignment: 16)
        defer { buffer.deallocate() }
        // An empty file is one that the process has just created.
        if try descriptor.status(path: path).st_size == 0 {
            throw SegmentError(path: path, reason: .unfinished)
        }
        try read(descriptor, into: buffer, at: 0, path: path)
        let header = try SegmentHeader(validating: UnsafeRawBufferPointer(buffer), path: path)
        // The size after the count: the process enlarges the file before it raises block_count.
        let size = UInt64(clamping: try descriptor.status(path: path).st_size)
        let needed = UInt64(
            header.bytesBeforeBlocks + header.blockCount * SegmentHeader.blockBytes)
        if size < needed {
            throw SegmentError(path: path, reason: .truncated(bytes: size, expectedBytes: needed))
        }
        return header
    }

    /// Fills the buffer from the file, or throws `truncated`.
    private static func read(
        _ descriptor: borrowing OwnedDescriptor, into buffer: UnsafeMutableRawBufferPointer,
        at offset: Int, path: String
    ) throws(SegmentError) {
        var filled = 0
        while filled < buffer.count {
            let length = pread(
                descriptor.number, buffer.baseAddress! + filled, buffer.count - filled,
                offset + filled)
            if length < 0 {
                if errno == EINTR { continue }
                throw SegmentError(path: path, reason: .system(call: "pread", errno: errno))
            }
            if length == 0 {
                throw SegmentError(
                    path: path,
                    reason: .truncated(
                        bytes: UInt64(offset + filled),
                        expectedBytes: UInt64(offset + buffer.count)))
            }
            filled += length
        }
    }
}

extension SegmentError {
    /// The error for a failed open(2) with O_NOFOLLOW.
    static func opening(_ path: String, _ code: Int32) -> SegmentError {
        switch code {
        case ENOENT: SegmentError(path: path, reason: .missing)
        case ELOOP: SegmentError(path: path, reason: .symbolicLink)
        default: SegmentError(path: path, reason: .system(call: "open", errno: code))
        }
    }
}
