import Glibc

/// The mounts that this process sees, and what a path leads to by them.
struct PoolMounts {
    let table: MountTable

    /// The mounts of this process; nil where /proc tells nothing.
    static func ofProcess() -> PoolMounts? { MountTable.ofProcess().map { PoolMounts(table: $0) } }

    /// What is at a path.
    enum Place: Equatable {
        case directory(Mount)
        /// The errno for it.
        case unreachable(Int32)
    }

    /// Follows a path. The root of a mount is believed to be a directory and never looked at: a
    /// server that does not answer would keep this process for ever.
    ///
    /// - Parameter path: absolute.
    func place(of path: ByteString) -> Place {
        var rest = path.bytes.split(separator: 0x2f).map(Array.init)[...]
        var reached: [UInt8] = []
        var links = 0
        while let name = rest.popFirst() {
            if name == Array(".".utf8) { continue }
            if name == Array("..".utf8) {
                reached = Array(reached[..<(reached.lastIndex(of: 0x2f) ?? 0)])
                continue
            }
            let next = reached + [0x2f] + name
            if table.mounts.contains(where: { $0.path.bytes == next }) {
                reached = next
                continue
            }
            switch Self.look(at: ByteString(next)) {
            case .failure(let error): return .unreachable(error.code)
            case .success(nil): reached = next
            case .success(let target?):
                links += 1
                // As the kernel has it (MAXSYMLINKS).
                if links > 40 { return .unreachable(ELOOP) }
                if target.bytes.first == 0x2f { reached = [] }
                rest = target.bytes.split(separator: 0x2f).map(Array.init)[...] + rest
            }
        }
        return table.mount(holding: ByteString([0x2f]) + ByteString(reached.dropFirst()))
            .map { .directory($0) } ?? .unreachable(ENOENT)
    }

    /// The target of a symbolic link, nil for a directory.
    private static func look(at path: ByteString) -> Result<ByteString?, SystemError> {
        path.withCString { path in
            var status = stat()
            if lstat(path, &status) != 0 { return .failure(SystemError(code: errno)) }
            switch status.st_mode & S_IFMT {
            case S_IFDIR: return .success(nil)
            case S_IFLNK:
                var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
                let count = readlink(path, &buffer, buffer.count)
                if count < 0 { return .failure(SystemError(code: errno)) }
                return .success(ByteString(buffer[..<count].map(UInt8.init(bitPattern:))))
            default: return .failure(SystemError(code: ENOTDIR))
            }
        }
    }
}
